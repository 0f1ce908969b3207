// What applications answer to a picture: the nearest photographs, a painted picture, the digits of a line.

import { element } from "./page.js";

const $ = (id) => document.getElementById(id);

/** What is chosen on the page, as the query of a request. */
export function choices() {
  const query = new URLSearchParams();
  if ($("top")) query.set("top", $("top").value);
  if ($("size")) query.set("size", $("size").value);
  if ($("colours")?.checked) query.set("keep_colours", "true");
  if ($("line")?.checked) query.set("line", "true");
  const text = query.toString();
  return text && `?${text}`;
}

/** Nothing is shown any more. */
export function cleared() {
  $("neighbours")?.replaceChildren();
  for (const id of ["painted", "save"]) if ($(id)) $(id).hidden = true;
}

/** Show an answer of an application; false for that of another model. */
export function applied(found) {
  const show = { search, style, lines }[found.task];
  if ($("seen")) $("seen").parentElement.hidden = false;
  if (!show) return false;
  show(found);
  const { decode, net } = found.milliseconds;
  $("times").textContent = `${net} ms in the net (${found.engine}, ${found.precision}), ${decode} ms to decode.`;
  return true;
}

function search(found) {
  const first = found.neighbours[0];
  const name = first.name.split("/").pop();
  $("label").textContent = first.near_duplicate ? `A copy of it: ${name}` : `Nearest: ${name}`;
  $("neighbours").replaceChildren(...found.neighbours.map(neighbour));
}

function neighbour(one) {
  const picture = one.picture ? element("img", { src: one.picture, alt: one.name }) : element("div", { className: "gone quiet", textContent: `No picture: ${one.why}` });
  const words = element("figcaption", {}, element("b", { textContent: one.distance.toFixed(2) }), ` ${one.name}`);
  if (one.near_duplicate) words.append(" ", element("span", { className: "tag", textContent: "near-duplicate" }));
  return element("figure", {}, picture, words);
}

function style(found) {
  $("painted").src = $("save").href = found.painted;
  $("painted").hidden = $("save").hidden = false;
}

function lines(found) {
  $("label").textContent = found.text || "no digits";
  $("odd").hidden = true;
  $("answers").classList.remove("sentences");
  $("answers").replaceChildren(...found.characters.map((one) => {
    const bar = element("meter", { min: 0, max: 1, value: one.probability });
    bar.setAttribute("aria-label", one.label);
    return element("div", {}, element("span", { textContent: one.label }), bar, element("b", { textContent: `${(100 * one.probability).toFixed(1)} %` }));
  }));
  $("more").textContent = `${found.characters.length} characters; all of them together ${(100 * found.probability).toFixed(2)} %.`;
  $("seen").parentElement.hidden = true;
  $("drawn").classList.add("finds"); // lines are small pictures
  $("boxes").replaceChildren(...found.characters.map((one) => {
    const mark = element("div", { className: "at" });
    mark.style.left = `${(100 * one.x) / found.size[0]}%`;
    return mark;
  }));
}
