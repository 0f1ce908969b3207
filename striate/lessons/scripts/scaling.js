// The same numbers as striate/lessons/scaling.py.
const factors = (phi, alpha, beta, gamma) => {
  const depth = alpha ** phi, width = beta ** phi, resolution = gamma ** phi;
  return [depth, width, resolution, depth * width ** 2 * resolution ** 2];
};
const roundChannels = (channels) => {
  const rounded = Math.max(8, Math.floor(Math.trunc(channels + 4) / 8) * 8);
  return rounded >= 0.9 * channels ? rounded : rounded + 8;
};
// Rows are operator, expansion, kernel, resolution of the input, channels, layers.
const scaledStages = (rows, width, depth) => {
  let given = 3;
  return rows.map(([operator, expansion, kernel, resolution, channels, layers], place) => {
    const below = rows[Math.min(place + 1, rows.length - 1)][3], wide = roundChannels(channels * width);
    const stage = { operator, expansion, kernel, stride: Math.floor(resolution / below), given, channels: wide,
      layers: operator === "MBConv" ? Math.ceil(layers * depth) : layers };
    given = wide;
    return stage;
  });
};
const ofBlock = ({ expansion, kernel, channels }, given, before, side) => {
  const wide = given * expansion, squeezed = Math.max(1, Math.floor(given / 4));
  const widening = expansion > 1 ? given * wide : 0, depthwise = kernel ** 2 * wide, projection = wide * channels;
  const norms = 2 * (wide * (expansion > 1 ? 2 : 1) + channels), excitation = 2 * wide * squeezed;
  return [widening + depthwise + projection + norms + excitation + squeezed + wide,
    widening * before * before + (depthwise + projection) * side * side + excitation];
};
const counts = (rows, classes, width, depth, resolution) => {
  let weights = 0, work = 0, side = resolution, last = 0;
  for (const stage of scaledStages(rows, width, depth)) {
    for (const layer of range(stage.layers)) {
      const given = layer ? stage.channels : stage.given, before = side;
      side = Math.ceil(side / (layer ? 1 : stage.stride));
      const product = stage.kernel ** 2 * given * stage.channels;
      const [more, products] = stage.operator === "Conv"
        ? [product + 2 * stage.channels, product * side * side] : ofBlock(stage, given, before, side);
      weights += more;
      work += products;
    }
    last = stage.channels;
  }
  return [weights + (last + 1) * classes, work + last * classes];
};

const start = () => {
  const { rows, classes, bases, parts } = given(), base = counts(rows, classes, 1, 1, rows[0][3]);
  const CELL = 100, FOOT = 150, BAR = 9;
  const figure = ([d, w, r]) => {
    const nets = [[1, 1, 1], [1, w, 1], [d, 1, 1], [1, 1, r], [d, w, r]];
    byId("nets").replaceChildren(...nets.flatMap(([depth, width, resolution], place) => {
      const middle = CELL * place + CELL / 2, side = 22 * resolution, length = 34 * width;
      return [
        drawn("rect", { x: middle - side / 2, y: FOOT - side, width: side, height: side, fill: "none", stroke: "var(--t1)", "stroke-width": 2 }),
        ...range(Math.round(4 * depth)).map((layer) => drawn("rect", { class: "t0 bar", x: middle - length / 2,
          y: FOOT - side - 10 - layer * (BAR + 4) - BAR, width: length, height: BAR, rx: 2 })),
        drawn("text", { x: middle, y: FOOT + 20, "text-anchor": "middle" }, parts[place]),
      ];
    }));
    const top = Math.min(...[...byId("nets").querySelectorAll(".bar")].map((bar) => Number(bar.getAttribute("y")))) - 6;
    byId("nets").setAttribute("viewBox", `0 ${top} ${5 * CELL} ${180 - top}`);
  };
  const show = () => {
    const [phi, alpha, beta, gamma] = ["phi", "alpha", "beta", "gamma"].map((name) => {
      sayValue(name, said(number(name)));
      return number(name);
    });
    const found = factors(phi, alpha, beta, gamma), [depth, width, resolution, cost] = found;
    const product = factors(1, alpha, beta, gamma)[3];
    say("product", `\u03b1 \u03b2\u00b2 \u03b3\u00b2 = ${product.toFixed(3)}; d = ${said(depth)}, w = ${said(width)}, r = ${said(resolution)}: ${said(cost)} times the multiply-adds`);
    figure(found);
    fillTable("scaled", scaledStages(rows, width, depth).map((stage, place) => [
      `${place + 1} ${stage.operator}, ${stage.kernel} \u00d7 ${stage.kernel}`,
      `${rows[place][4]} \u2192 ${stage.channels}`, `${rows[place][5]} \u2192 ${stage.layers}`]));
    const side = Math.round(rows[0][3] * resolution), [weights, work] = counts(rows, classes, width, depth, side);
    say("counted", `${side} \u00d7 ${side} pixels, ${amount(weights)} parameters, ${amount(work)} multiply-adds: ${said(work / base[1])} times B0\u2019s, where the formula says ${said(cost)}: channels and layers are rounded.`);
  };
  byId("reset").addEventListener("click", () => {
    for (const [place, name] of ["alpha", "beta", "gamma"].entries()) byId(name).value = bases[place];
    show();
  });
  listen(["phi", "alpha", "beta", "gamma"], show);
  show();
};
if (typeof document !== "undefined") start();
