// The same numbers as striate/lessons/fields.py. A layer is name, kernel, stride, padding, dilation.
const fields = (layers, size) => {
  let side = size, field = 1, jump = 1, first = 0;
  return layers.map(([name, kernel, stride, padding, dilation]) => {
    const room = side + 2 * padding - dilation * (kernel - 1) - 1;
    side = side > 0 && room >= 0 ? Math.floor(room / stride) + 1 : 0;
    field += dilation * (kernel - 1) * jump;
    first -= padding * jump;
    jump *= stride;
    return { name, output: side, field, jump, first };
  });
};
const reach = (layers, place) => {
  const spans = [[place, place]];
  for (const [, kernel, stride, padding, dilation] of [...layers].reverse()) {
    const [low, high] = spans[0];
    spans.unshift([low * stride - padding, high * stride - padding + dilation * (kernel - 1)]);
  }
  return spans;
};

const start = () => {
  const { presets, side: SIDE } = given();
  const limits = { 1: [1, 31], 2: [1, 16], 3: [0, 64], 4: [1, 64] };
  let layers = presets[byId("net").value].layers.map((layer) => [...layer]);
  const rect = (kind, x, y, width, height) => drawn("rect", { class: kind, x, y, width, height });
  const table = () => byId("chain").tBodies[0].replaceChildren(...layers.map((layer, row) => element("tr", {},
    element("th", { scope: "row" }, layer[0]),
    ...[1, 2, 3, 4].map((column) => {
      const [min, max] = limits[column];
      const field = element("input", { type: "number", min, max, value: layer[column],
        "aria-label": `${layer[0]}, ${["", "kernel", "stride", "padding", "dilation"][column]}` });
      field.addEventListener("input", () => {
        const value = Math.round(Number(field.value));
        if (field.value === "" || !(value >= min && value <= max)) return;
        layers[row][column] = value;
        show();
      });
      return element("td", { class: "num" }, field);
    }),
    ...range(4).map(() => element("td", { class: "num" })))));
  const hold = (name, highest) => {
    byId(name).max = highest;
    byId(name).value = Math.min(number(name), highest);
    return number(name);
  };
  const show = () => {
    const size = Math.min(1024, Math.max(8, Math.round(number("size")) || 8)), all = fields(layers, size);
    const lost = all.findIndex((one) => !one.output);
    say("problem", lost < 0 ? "" : `The window of ${all[lost].name} does not fit into its map; layers from there on are left out.`);
    all.forEach((one, row) => {
      const cells = byId("chain").tBodies[0].rows[row].cells;
      [one.output || "\u2013", one.field, one.jump, said(one.first)].forEach((value, place) => { cells[5 + place].textContent = value; });
    });
    const fitting = lost < 0 ? layers.length : lost;
    byId("remove").disabled = layers.length < 2;
    byId("add").disabled = layers.length > 39;
    for (const name of ["layer", "row", "column"]) byId(name).disabled = !fitting;
    if (!fitting) return;
    const at = hold("layer", fitting), found = all[at - 1];
    const row = hold("row", found.output - 1), column = hold("column", found.output - 1);
    sayValue("layer", `${at}, ${found.name}`);
    sayValue("row", String(row));
    sayValue("column", String(column));
    [...byId("chain").tBodies[0].rows].forEach((line, place) => { line.className = place === at - 1 ? "on" : ""; });
    const unit = SIDE / (2 * size), top = found.first + row * found.jump, left = found.first + column * found.jump;
    const x = SIDE / 4 + left * unit, y = SIDE / 4 + top * unit, long = found.field * unit;
    byId("field").replaceChildren(rect("image", SIDE / 4, SIDE / 4, SIDE / 2, SIDE / 2), rect("field", x, y, long, long),
      drawn("circle", { class: "centre", cx: x + long / 2, cy: y + long / 2, r: 3 }));
    const chain = layers.slice(0, at), high = SIDE / (at + 1);
    const maps = [{ output: size, field: 1, jump: 1, first: 0 }, ...all.slice(0, at)];
    byId("side").replaceChildren(...reach(chain, column).flatMap(([low, last], level) => {
      const { output, field, jump, first } = maps[level];
      const bar = (kind, from, to) => rect(kind, SIDE / 4 + (first + (field - 1) / 2 + (from - 0.5) * jump + 0.5) * unit,
        SIDE - (level + 1) * high + 1, (to - from + 1) * jump * unit, Math.max(1, high - 2));
      return [bar("whole", 0, output - 1), bar("span", low, last)];
    }));
    say("words", `${found.name}: row ${row}, column ${column} of ${found.output} \u00d7 ${found.output} sees ${found.field} \u00d7 ${found.field} pixels, `
      + `rows ${said(top)} to ${said(top + found.field - 1)}, columns ${said(left)} to ${said(left + found.field - 1)}. `
      + `The next place sees as much, ${found.jump} pixels further.`);
  };
  listen(["net"], () => {
    const chosen = presets[byId("net").value];
    layers = chosen.layers.map((layer) => [...layer]);
    byId("size").value = chosen.size;
    byId("layer").max = layers.length;
    byId("layer").value = layers.length;
    table();
    const { output } = fields(layers, chosen.size)[layers.length - 1];
    for (const name of ["row", "column"]) { byId(name).max = output; byId(name).value = Math.floor(output / 2); }
    show();
  });
  byId("add").addEventListener("click", () => { layers.push([`layer ${layers.length + 1}`, 3, 1, 1, 1]); table(); show(); });
  byId("remove").addEventListener("click", () => { layers.pop(); table(); show(); });
  listen(["layer", "row", "column", "size"], show);
  table();
  show();
};
if (typeof document !== "undefined") start();
