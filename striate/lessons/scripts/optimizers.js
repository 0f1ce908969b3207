// The same numbers as striate/lessons/optimizers.py.
const RULES = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"];
const FAR = 1e6;
const VALUES = {
  ravine: (x, y) => (x * x + 25 * y * y) / 2,
  beale: (x, y) => (1.5 - x + x * y) ** 2 + (2.25 - x + x * y ** 2) ** 2 + (2.625 - x + x * y ** 3) ** 2,
  rosenbrock: (x, y) => (1 - x) ** 2 + 10 * (y - x * x) ** 2,
  saddle: (x, y) => x * x - y * y + y ** 4 / 8,
};
const GRADIENTS = {
  ravine: (x, y) => [x, 25 * y],
  beale: (x, y) => {
    const a = 1.5 - x + x * y, b = 2.25 - x + x * y ** 2, c = 2.625 - x + x * y ** 3;
    return [2 * a * (y - 1) + 2 * b * (y ** 2 - 1) + 2 * c * (y ** 3 - 1), 2 * a * x + 4 * b * x * y + 6 * c * x * y ** 2];
  },
  rosenbrock: (x, y) => [-2 * (1 - x) - 40 * x * (y - x * x), 20 * (y - x * x)],
  saddle: (x, y) => [2 * x, -2 * y + y ** 3 / 2],
};
const root = (square, form) => (form.epsilon_inside ? Math.sqrt(square + form.epsilon) : Math.sqrt(square) + form.epsilon);
const velocity = (state, slope, rate, form) => {
  state[0] = form.momentum * state[0] + (form.rate_inside ? -rate * slope : slope);
  return state[0];
};
const STEPS = {
  sgd: (state, slope, rate) => -rate * slope,
  momentum: (state, slope, rate, time, form) => velocity(state, slope, rate, form) * (form.rate_inside ? 1 : -rate),
  nesterov: (state, slope, rate, time, form) => {
    const v = velocity(state, slope, rate, form);
    return form.rate_inside ? form.momentum * v - rate * slope : -rate * (slope + form.momentum * v);
  },
  adagrad: (state, slope, rate, time, form) => {
    state[1] += slope * slope;
    return -rate * slope / root(state[1], form);
  },
  rmsprop: (state, slope, rate, time, form) => {
    state[1] = form.square * state[1] + (1 - form.square) * slope * slope;
    return -rate * slope / root(state[1], form);
  },
  adam: (state, slope, rate, time, form) => {
    state[0] = form.first * state[0] + (1 - form.first) * slope;
    state[1] = form.second * state[1] + (1 - form.second) * slope * slope;
    if (!form.bias_corrected) return -rate * state[0] / root(state[1], form);
    return -rate * state[0] / (1 - form.first ** time) / root(state[1] / (1 - form.second ** time), form);
  },
};
const path = (rule, surface, rates, form, begin) => {
  const states = [[0, 0], [0, 0]], found = [begin];
  let point = begin;
  for (const [at, rate] of rates.entries()) {
    const slopes = GRADIENTS[surface](...point);
    point = point.map((value, axis) => value + STEPS[rule](states[axis], slopes[axis], rate, at + 1, form));
    if (!point.every((value) => Math.abs(value) <= FAR)) break;
    found.push(point);
  }
  return found;
};
const apart = (first, second) => {
  const both = Math.min(first.length, second.length);
  return short(Math.max(...range(both).map((at) => Math.hypot(first[at][0] - second[at][0], first[at][1] - second[at][1]))));
};
const short = (value) => {  // what is below rounding is 0
  if (Math.abs(value) < 1e-12 || Math.abs(value) >= 1e-3) return said(value, 3);
  const power = Math.floor(Math.log10(Math.abs(value)));
  return `${said(value / 10 ** power, 1)}e${said(power, 0)}`;
};

const start = () => {
  const data = given(), side = data.side;
  let playing = 0;
  const draw = (name, surface, paths) => {
    const { x, y, levels, start: begin } = surface;
    const at = ([a, b]) => {  // far outside, a line only has to leave the drawing
      const held = (value) => Math.min(Math.max(value, -9 * side), 9 * side).toFixed(1);
      return [held(side * (a - x[0]) / (x[1] - x[0])), held(side * (y[1] - b) / (y[1] - y[0]))];
    };
    const lines = paths.map((points, place) => drawn("polyline", { class: `t${place}`, style: "fill:none", points: points.map(at).join(" ") }));
    const ends = paths.map((points, place) => {
      const [cx, cy] = at(points[points.length - 1]);
      return drawn("circle", { class: `t${place}`, cx, cy, r: 5 });
    });
    const [cx, cy] = at(begin);
    byId(name).replaceChildren(...levels.map((d) => drawn("path", { class: "level", d })), ...lines, ...ends,
      drawn("circle", { class: "begin", cx, cy, r: 4 }));
  };
  const show = () => {
    const name = byId("surface").value, surface = data.surfaces[name], steps = number("steps");
    const rates = { plain: 10 ** number("plain-rate"), normal: 10 ** number("normal-rate") }, epsilon = 10 ** number("epsilon");
    sayValue("plain-rate", rates.plain.toPrecision(2));
    sayValue("normal-rate", rates.normal.toPrecision(2));
    sayValue("momentum", said(number("momentum")));
    sayValue("epsilon", epsilon.toExponential(0).replace("-", MINUS));
    sayValue("steps", String(steps));
    const constants = { epsilon, momentum: number("momentum"), square: 0.99, first: 0.9, second: 0.999 };
    const lectures = { ...constants, rate_inside: ticked("rate-inside"), epsilon_inside: ticked("inside"), bias_corrected: ticked("corrected") };
    const torch = { ...constants, rate_inside: false, epsilon_inside: false, bias_corrected: true };
    const rate = (rule) => range(steps).map((at) => rates[RULES.indexOf(rule) > 2 ? "normal" : "plain"]
      * (ticked("halved") && at >= data.halved ? 0.5 : 1));
    const both = [lectures, torch].map((form) => RULES.map((rule) => path(rule, name, rate(rule), form, surface.start)));
    draw("lectures", surface, both[0]);
    draw("torch", surface, both[1]);
    const end = (points) => (points.length <= steps ? "diverged" : short(VALUES[name](...points[points.length - 1])));
    fillTable("losses", RULES.map((rule, place) => [
      [element("span", { class: `key t${place}` }), data.names[rule]], end(both[0][place]), end(both[1][place]),
      apart(both[0][place], both[1][place])]));
  };
  const stop = () => { cancelAnimationFrame(playing); playing = 0; say("play", "Play"); };
  byId("play").addEventListener("click", () => {
    if (playing) { stop(); return; }
    const last = Number(byId("steps").max);
    if (number("steps") >= last) byId("steps").value = 1;
    say("play", "Pause");
    const tick = () => {
      byId("steps").value = number("steps") + 1;
      show();
      if (number("steps") >= last) stop();
      else playing = requestAnimationFrame(tick);
    };
    playing = requestAnimationFrame(tick);
  });
  listen(["surface"], () => {
    const [plain, normal] = data.surfaces[byId("surface").value].rates;
    byId("plain-rate").value = Math.log10(plain);
    byId("normal-rate").value = Math.log10(normal);
    stop();
    show();
  });
  listen(["plain-rate", "normal-rate", "momentum", "epsilon", "halved", "inside", "corrected", "rate-inside"], show);
  listen(["steps"], () => { stop(); show(); });
  show();
};
if (typeof document !== "undefined") start();
