// The same numbers as striate/lessons/dropout.py.
const thinned = (units, weights, p) => {
  const found = range(2 ** units.length).map((code) => {
    const kept = units.map((_, place) => place + 1).filter((number) => !(code & (1 << (units.length - number))));
    const total = kept.reduce((sum, number) => sum + weights[number - 1] * units[number - 1], 0);
    return [kept, (1 - p) ** kept.length * p ** (units.length - kept.length), total / (1 - p)];
  });
  const before = ([a], [b]) => {
    const place = a.findIndex((number, at) => number !== b[at]);
    return b.length - a.length || (place < 0 ? 0 : a[place] - b[place]);
  };
  return found.sort(before);
};
const sigmoid = (value) => 1 / (1 + Math.exp(-value));
const meanOutput = (networks) => networks.reduce((sum, [, probability, output]) => sum + probability * output, 0);
const meanSigmoid = (networks) => networks.reduce((sum, [, probability, output]) => sum + probability * sigmoid(output), 0);

const start = () => {
  const { units, weights, inputs } = given();
  const WIDE = 330, HIGH = 220, RADIUS = 17, left = 40, middle = WIDE / 2, right = WIDE - 40;
  const height = (place, count) => HIGH * (2 * place + 1) / (2 * count);
  const unit = (x, y, label, tone, gone) => {
    const body = drawn("g", gone ? { class: "gone" } : {}, drawn("circle", { class: `unit ${tone}`, cx: x, cy: y, r: RADIUS }),
      drawn("text", { x, y: y + 4.5 }, label));
    const d = RADIUS * 0.7;
    return gone ? [body, ...[1, -1].map((sign) =>
      drawn("line", { class: "cross", x1: x - d, y1: y - sign * d, x2: x + d, y2: y + sign * d }))] : [body];
  };
  const change = () => {
    const p = number("p"), networks = thinned(units, weights, p);
    const out = (place) => ticked(`out${place + 1}`);
    sayValue("p", said(p));
    byId("drawing").replaceChildren(
      ...units.map((_, place) => drawn("g", out(place) ? { class: "gone" } : {},
        ...range(inputs).map((from) => drawn("line", { class: "edge", x1: left, y1: height(from, inputs), x2: middle, y2: height(place, units.length) })),
        drawn("line", { class: "edge", x1: middle, y1: height(place, units.length), x2: right, y2: HIGH / 2 }))),
      ...range(inputs).flatMap((place) => unit(left, height(place, inputs), `x${place + 1}`, "t0", false)),
      ...units.flatMap((value, place) => unit(middle, height(place, units.length), said(value), "t1", out(place))),
      ...unit(right, HIGH / 2, "y", "t2", false));
    const kept = units.map((_, place) => place + 1).filter((at) => !out(at - 1));
    const [, probability, output] = networks.find(([these]) => String(these) === String(kept));
    say("one", `${kept.length} of ${units.length} units: one of ${networks.length} networks, with probability `
      + `${said(probability, 4)} and output ${said(output)}.`);
    fillTable("sizes", range(units.length + 1).reverse().map((size) => {
      const these = networks.filter(([{ length }]) => length === size);
      const mean = these.reduce((sum, [, , value]) => sum + value, 0) / these.length;
      return [String(size), String(these.length), said(these[0][1], 4), said(mean)];
    }));
    const whole = units.reduce((sum, value, place) => sum + value * weights[place], 0);
    say("total", `Mean over the ${networks.length} networks: ${said(meanOutput(networks))}; the whole network: ${said(whole)}. `
      + `After a sigmoid: ${said(meanSigmoid(networks), 4)} and ${said(sigmoid(whole), 4)}.`);
  };
  listen(["p", ...units.map((_, place) => `out${place + 1}`)], change);
  change();
};
if (typeof document !== "undefined") start();
