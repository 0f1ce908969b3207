// The same numbers as striate/lessons/paths.py.
const allPaths = (x, factors) => {
  const found = range(2 ** factors.length).map((code) => {
    const blocks = factors.map((_, place) => place + 1).filter((number) => code & (1 << (factors.length - number)));
    return [blocks, x * blocks.reduce((product, number) => product * factors[number - 1], 1)];
  });
  const before = (a, b) => {
    if (a.length !== b.length) return a.length - b.length;
    const place = a.findIndex((number, at) => number !== b[at]);
    return place < 0 ? 0 : a[place] - b[place];
  };
  return found.sort(([a], [b]) => before(a, b));
};
const output = (x, factors) => factors.reduce((y, factor) => y + factor * y, x);
const expanded = (blocks) => {
  let inner = "y0";
  for (const number of range(blocks)) inner = `${inner} + f${number + 1}(${inner})`;
  return `y${blocks} = ${inner}`;
};
const lengthShares = (blocks) => {
  let share = 0.5 ** blocks;
  return range(blocks + 1).map((length) => {
    if (length) share *= (blocks - length + 1) / length;
    return share;
  });
};
const shareBetween = (blocks, shortest, longest) =>
  lengthShares(blocks).slice(shortest, longest + 1).reduce((sum, share) => sum + share, 0);

const start = () => {
  const { input } = given();
  const WIDE = 360, ROW = 26, LEFT = 62, CHART = [360, 150];
  const unravel = () => {
    const blocks = number("blocks"), factors = [];
    for (const block of [1, 2, 3, 4]) {
      const used = block <= blocks;
      byId(`w${block}`).disabled = byId(`gone${block}`).disabled = !used;
      sayValue(`w${block}`, said(number(`w${block}`)));
      if (used) factors.push(number(`w${block}`));
    }
    const gone = (block) => ticked(`gone${block}`), paths = allPaths(input, factors);
    const step = (WIDE - LEFT - 66) / blocks;
    byId("unravelled").setAttribute("viewBox", `0 0 ${WIDE} ${ROW * paths.length + 20}`);
    byId("unravelled").setAttribute("aria-label", `${paths.length} paths through ${blocks} blocks`);
    byId("unravelled").replaceChildren(...paths.map(([through, value], row) => {
      const y = ROW * row + ROW / 2 + 10;
      return drawn("g", through.some(gone) ? { class: "gone" } : {},
        drawn("line", { class: "line", x1: LEFT - 4, y1: y, x2: WIDE - 62, y2: y }),
        ...through.flatMap((block) => {
          const x = LEFT + (block - 1) * step + 8;
          return [drawn("rect", { class: `box t${block - 1}`, x, y: y - 10, width: 40, height: 20, rx: 5 }),
            drawn("text", { x: x + 20, y: y + 4, "text-anchor": "middle" }, `f${block}`)];
        }),
        drawn("text", { x: WIDE - 4, y: y + 4, "text-anchor": "end" }, said(value, 4)));
    }), drawn("text", { x: 2, y: ROW * paths.length / 2 + 14 }, `y0 = ${said(input)}`));
    const left = paths.filter(([through]) => !through.some(gone));
    const sum = left.map(([, value]) => said(value, 4)).join(" + ").replaceAll(`+ ${MINUS}`, `${MINUS} `);
    say("formula", expanded(blocks));
    say("total", `The sum over the ${left.length === paths.length ? "" : `${left.length} remaining `}paths: ${sum} = `
      + `${said(output(input, factors.map((factor, place) => (gone(place + 1) ? 0 : factor))), 4)}, the output of the blocks in a row.`);
  };
  const lengths = () => {
    const blocks = number("n");
    for (const name of ["shortest", "longest"]) byId(name).max = blocks;
    const shortest = number("shortest"), longest = Math.max(shortest, number("longest"));
    byId("longest").value = longest;
    sayValue("n", String(blocks));
    sayValue("shortest", String(shortest));
    sayValue("longest", String(longest));
    const shares = lengthShares(blocks), width = CHART[0] / shares.length, unit = (CHART[1] - 26) / Math.max(...shares);
    byId("chart").replaceChildren(...shares.map((share, length) => {
      const height = Math.max(share * unit, 0.6);
      return drawn("rect", { class: `bar${length >= shortest && length <= longest ? " on" : ""}`, x: length * width + 0.5,
        y: CHART[1] - 22 - height, width: Math.max(width - 1, 1), height });
    }), drawn("text", { x: 0, y: CHART[1] - 4 }, "0"), drawn("text", { x: CHART[0], y: CHART[1] - 4, "text-anchor": "end" }, String(blocks)));
    const share = 100 * shareBetween(blocks, shortest, longest);
    const words = share >= 1e-4 || share === 0 ? share.toFixed(4) : share.toExponential(1).replace("-", MINUS);
    say("share", `Paths through ${shortest} to ${longest} of ${blocks} blocks: ${words} % of 2^${blocks} paths.`);
  };
  listen(["blocks", ...[1, 2, 3, 4].flatMap((block) => [`w${block}`, `gone${block}`])], unravel);
  listen(["n", "shortest", "longest"], lengths);
  unravel();
  lengths();
};
if (typeof document !== "undefined") start();
