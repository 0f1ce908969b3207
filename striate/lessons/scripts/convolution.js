// The same numbers as striate/lessons/convolution.py.
const SOURCES = {
  zeros: (i, n) => (i < 0 || i >= n ? -1 : i),
  replicate: (i, n) => Math.min(Math.max(i, 0), n - 1),
  symmetric: (i, n) => (i < 0 ? -1 - i : i >= n ? 2 * n - 1 - i : i),
  reflect: (i, n) => (i < 0 ? -i : i >= n ? 2 * n - 2 - i : i),
  circular: (i, n) => (i + n) % n,
};
const padded = (image, padding, mode) => {
  const n = image.length, from = SOURCES[mode];
  return range(n + 2 * padding).map((i) => range(n + 2 * padding).map((j) => {
    const row = from(i - padding, n), column = from(j - padding, n);
    return row < 0 || column < 0 ? 0 : image[row][column];
  }));
};
const outputSize = (size, kernel, stride, padding, dilation) => {
  const room = size + 2 * padding - dilation * (kernel - 1) - 1;
  return room < 0 ? 0 : Math.floor(room / stride) + 1;
};
const windowOf = (image, i, j, side, stride, dilation) => range(side).map((m) =>
  range(side).map((n) => image[i * stride + m * dilation][j * stride + n * dilation]));
const overWindows = (image, side, stride, dilation, reduce) => {
  const size = outputSize(image.length, side, stride, 0, dilation);
  return range(size).map((i) => range(size).map((j) => reduce(windowOf(image, i, j, side, stride, dilation))));
};
const convolved = (image, kernel, stride, padding, dilation, mode) =>
  overWindows(padded(image, padding, mode), kernel.length, stride, dilation, (seen) =>
    seen.flat().reduce((sum, pixel, place) => sum + pixel * kernel.flat()[place], 0));
const pooled = (image, size, stride, kind) => overWindows(image, size, stride, 1, (seen) =>
  kind === "max" ? Math.max(...seen.flat()) : seen.flat().reduce((sum, pixel) => sum + pixel, 0) / (size * size));
const costs = (side, channels) => {
  const layers = (side - 1) / 2, square = channels * channels, whole = side * side * square;
  return [
    [`${side} x ${side}`, whole, side],
    [`${layers} of 3 x 3`, 9 * layers * square, 2 * layers + 1],
    [`${side} x 1, then 1 x ${side}`, 2 * side * square, side],
    [`depthwise ${side} x ${side}, then 1 x 1`, side * side * channels + square, side],
    ["1 x 1", square, 1],
  ].map(([what, weights, field]) => [what, weights, field, 100 * (1 - weights / whole)]);
};

const start = () => {
  const data = given();
  let image = data.image, kernel = data.kernels["vertical edge"], place = 0, playing = 0;
  const own = { own: data.image, ...data.examples };

  // Draws a matrix; of an editable one the cells are inputs, which stay while its size does.
  const board = (name, rows, classes, edit) => {
    const table = byId(name), shape = rows.length + (edit ? edit.shape : "");
    if (table.dataset.shape !== shape) {
      table.dataset.shape = shape;
      table.tBodies[0].replaceChildren(...rows.map((row, i) => element("tr", {}, ...row.map((_, j) => {
        const cell = element("td");
        if (edit && edit.at(i, j)) {
          const [a, b] = edit.at(i, j);
          const field = element("input", { inputmode: "decimal", "aria-label": `${edit.what} ${a + 1}, ${b + 1}` });
          field.addEventListener("input", () => {
            const value = Number(field.value.replace(MINUS, "-").replace(",", "."));
            const right = field.value.trim() !== "" && Number.isFinite(value) && Math.abs(value) < 1e6;
            field.setAttribute("aria-invalid", String(!right));
            if (right) { edit.set(a, b, value); show(); }
          });
          field.addEventListener("blur", show);
          cell.append(field);
        }
        return cell;
      }))));
    }
    rows.forEach((row, i) => row.forEach((value, j) => {
      const cell = table.rows[i].cells[j], field = cell.firstElementChild;
      cell.className = classes(i, j);
      if (!field) cell.textContent = said(value);
      else if (field !== document.activeElement) { field.value = said(value); field.setAttribute("aria-invalid", "false"); }
    }));
  };
  // The arrow keys move between the fields of a board.
  for (const name of ["input", "kernel"]) byId(name).addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step || event.target.tagName !== "INPUT") return;
    const cell = event.target.parentElement, row = cell.parentElement.rowIndex + step[0];
    const next = byId(name).rows[row]?.cells[cell.cellIndex + step[1]]?.querySelector("input");
    if (next) { event.preventDefault(); next.focus(); next.select(); }
  });

  const show = () => {
    const operation = byId("operation").value, conv = operation === "conv", n = image.length;
    for (const name of ["preset", "mode", "padding", "dilation"]) byId(name).disabled = !conv;
    const side = number("side"), stride = number("stride");
    const padding = conv ? number("padding") : 0, dilation = conv ? number("dilation") : 1, mode = byId("mode").value;
    for (const name of ["padding", "stride", "dilation"]) sayValue(name, String(number(name)));
    byId("kernel").closest("figure").hidden = !conv;
    const wide = padded(image, padding, mode);
    const output = conv ? convolved(image, kernel, stride, padding, dilation, mode) : pooled(image, side, stride, operation);
    const size = output.length;
    place = Math.max(0, Math.min(place, size * size - 1));
    const row = size ? Math.floor(place / size) : 0, column = size ? place % size : 0;
    const covers = (i, top) => size && i >= top * stride && (i - top * stride) % dilation === 0
      && (i - top * stride) / dilation < side;
    const inside = (i) => i >= padding && i < n + padding;
    board("input", wide, (i, j) => (inside(i) && inside(j) ? "" : "pad ") + (covers(i, row) && covers(j, column) ? "on" : ""), {
      what: "pixel", shape: `/${padding}`,
      at: (i, j) => (inside(i) && inside(j) ? [i - padding, j - padding] : null),
      set: (i, j, value) => { image = image.map((line, a) => line.map((old, b) => (a === i && b === j ? value : old))); },
    });
    if (conv) board("kernel", kernel, () => "", {
      what: "weight", shape: "", at: (i, j) => [i, j],
      set: (i, j, value) => { kernel = kernel.map((line, a) => line.map((old, b) => (a === i && b === j ? value : old))); },
    });
    board("output", output, (i, j) => "place" + (i === row && j === column ? " on" : ""));
    say("size", `output: \u230a(${n} + 2\u00b7${padding} ${MINUS} ${dilation}\u00b7(${side} ${MINUS} 1) ${MINUS} 1) / ${stride}\u230b + 1 = ${size}`
      + (size ? "" : ": the kernel does not fit"));
    say("sum", size ? sum(windowOf(wide, row, column, side, stride, dilation), operation, output, row, column) : "");
    byId("back").disabled = place <= 0;
    byId("next").disabled = place >= size * size - 1;
  };
  const bracketed = (value) => (value < 0 ? `(${said(value)})` : said(value));
  const sum = (seen, operation, output, row, column) => {
    const result = `S(${row}, ${column}) = `, end = said(output[row][column]);
    const pixels = seen.flat();
    if (operation === "max") return `${result}max(${pixels.map((pixel) => said(pixel)).join(", ")}) = ${end}`;
    if (operation === "mean") return `${result}(${pixels.map(bracketed).join(" + ")}) / ${pixels.length} = ${end}`;
    return result + pixels.map((pixel, at) => `${said(pixel)}\u00b7${bracketed(kernel.flat()[at])}`).join(" + ") + ` = ${end}`;
  };

  const stop = () => { clearInterval(playing); playing = 0; say("play", "Play"); };
  byId("back").addEventListener("click", () => { stop(); place--; show(); });
  byId("next").addEventListener("click", () => { stop(); place++; show(); });
  byId("play").addEventListener("click", () => {
    if (playing) { stop(); return; }
    if (byId("next").disabled) place = 0;
    say("play", "Pause");
    show();
    playing = setInterval(() => { if (byId("next").disabled) stop(); else { place++; show(); } }, 500);
  });
  byId("output").addEventListener("click", (event) => {
    const cell = event.target.closest("td");
    if (cell) { stop(); place = cell.parentElement.rowIndex * byId("output").rows.length + cell.cellIndex; show(); }
  });
  listen(["mode", "padding", "stride", "dilation", "operation"], () => { stop(); show(); });
  listen(["side"], () => {
    const side = number("side");  // the kernel's middle stays in the middle
    const from = Math.floor((kernel.length - side) / 2);
    kernel = range(side).map((i) => range(side).map((j) => kernel[i + from]?.[j + from] ?? 0));
    stop();
    show();
  });
  listen(["preset"], () => { kernel = data.kernels[byId("preset").value]; byId("side").value = "3"; stop(); show(); });
  listen(["example"], () => {
    const name = byId("example").value;
    image = own[name];
    byId("operation").value = name === "pooling" ? "max" : "conv";
    byId("side").value = name === "pooling" ? "2" : String(kernel.length);
    byId("stride").value = name === "pooling" ? "2" : "1";
    byId("padding").value = name === "padding" ? "2" : "1";
    place = 0;
    stop();
    show();
  });

  const price = () => {
    const side = number("cost-side"), channels = number("channels"), pixels = number("map") ** 2;
    sayValue("channels", String(channels));
    sayValue("map", String(number("map")));
    const found = costs(side, channels);
    fillTable("costs", found.map(([what, weights, field, saved]) => [what.replaceAll(" x ", " \u00d7 "), amount(weights),
      amount(weights * pixels), `${said(saved, 1)} %`, `${field} \u00d7 ${field}`]));
    const wide = costs(side, 2 * channels)[0][1];
    say("widened", `Twice as many channels: ${amount(wide * pixels)} multiply-adds, ${said(wide / found[0][1])} times as many.`);
  };
  listen(["cost-side", "channels", "map"], price);
  show();
  price();
};
if (typeof document !== "undefined") start();
