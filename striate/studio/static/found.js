// What a net finds in a picture, drawn over it: boxes with their names, or a mask.

import { element } from "./page.js";

const $ = (id) => document.getElementById(id);

/** The objects of an answer that are shown: those from the chosen score on. */
export function above(found) {
  return found.objects.filter((one) => one.score >= Number($("score").value));
}

/** How many objects of each name are shown, the most first. */
export function objects(found) {
  const counts = new Map();
  for (const one of above(found)) counts.set(one.label, (counts.get(one.label) || 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${count} ${name}`).join(", ") || "nothing";
}

/** A square of a colour, before a name; nothing without one. */
export function swatch(colour) {
  if (!colour) return [];
  const found = element("i", { className: "swatch" });
  found.style.background = colour;
  return [found];
}

/** Draw what an answer has over the picture; {} clears it. */
export function drawn(found) {
  $("drawn").classList.toggle("finds", Boolean(found.objects || found.overlay)); // tiny pictures are enlarged
  $("scored").hidden = !found.objects;
  $("masked").hidden = !found.overlay;
  $("from").textContent = Number($("score").value).toFixed(2);
  $("mask").hidden = !found.overlay || !$("laid").checked;
  if (found.overlay) $("mask").src = found.overlay;
  $("boxes").replaceChildren(...(found.objects ? above(found).map((one) => box(one, found.size)) : []));
}

function box(one, [width, height]) {
  const [x1, y1, x2, y2] = one.box;
  const name = element("span", { textContent: `${one.label} ${one.score.toFixed(2)}` });
  const found = element("div", { className: y1 < height / 12 ? "low" : "" }, name);
  const shares = { left: x1 / width, top: y1 / height, width: (x2 - x1) / width, height: (y2 - y1) / height };
  for (const [side, share] of Object.entries(shares)) found.style[side] = `${100 * share}%`;
  found.style.borderColor = name.style.background = one.colour;
  name.style.color = bright(one.colour) ? "#000" : "#fff";
  return found;
}

function bright(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue >= 110;
}
