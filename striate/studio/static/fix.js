// Fix: one doubtful image after another; 1-9 are the classes, D drops, K keeps, U takes back, arrows move.

import { api, element, onEvent, root, say, tried } from "./page.js";
import { choosing } from "./choosing.js";

const fix = document.getElementById("fix");
if (fix) begin();

function begin() {
  const { number, word } = fix.dataset;
  const strip = document.getElementById("strip");
  const buttons = [...document.querySelectorAll("[data-class]")];
  let current = 0;
  const picture = (image, side) => `${root}data/${number}/pictures/${word}/${image}?side=${side}`;
  const choice = choosing(strip, (images) => { if (images.length > 1) say(`${images.length} chosen: the next key decides on all of them.`); },
    (figure) => show(choice.figures().indexOf(figure)));
  const figures = choice.figures();

  function show(at) {
    current = Math.max(0, Math.min(figures.length - 1, at));
    const one = figures[current];
    figures.forEach((other) => other.setAttribute("aria-current", String(other === one)));
    const { image, path, label, suggested, why, found, alike } = one.dataset;
    const large = document.getElementById("large");
    large.src = picture(image, 1024);
    large.alt = path;
    document.getElementById("caption").textContent = `${path} (${label})`;
    document.getElementById("place").textContent = `${current + 1} of ${figures.length}`;
    document.getElementById("question").textContent = suggested.startsWith("relabel") ? `${label}, or ${suggested.slice(8)}?` : `${suggested}?`;
    document.getElementById("why").textContent = [found, why].filter(Boolean).join("; ");
    beside(alike ? alike.split(" ") : [], [label, suggested.startsWith("relabel ") ? suggested.slice(8) : ""]);
    const next = figures[current + 1];
    if (next) new Image().src = picture(next.dataset.image, 1024);
  }

  function beside(alike, names) {
    const shown = alike.map((image) => [image, "alike"]);
    for (const name of names.filter(Boolean)) {
      const list = document.querySelector(`[data-examples="${CSS.escape(name)}"]`);
      for (const item of list?.children || []) shown.push([item.value, name]);
    }
    document.getElementById("beside").replaceChildren(...shown.map(([image, text]) =>
      element("figure", {}, element("img", { src: picture(image, 96), alt: text }), element("figcaption", { textContent: text }))));
  }

  // One after another: a key that is pressed while an answer is on its way is meant for what that answer shows.
  let before = Promise.resolve();
  const inTurn = (act) => { before = before.then(act); };

  async function decide(decision, to = "") {
    const many = choice.chosen();
    const images = many.length > 1 ? many : [Number(figures[current].dataset.image)];
    await tried(async () => {
      mark((await api("POST", `api/data/${number}/decisions`, { word, images, decision, to })).decision);
      say("");
      if (many.length > 1) choice.clear();
      else show(current + 1);
    });
  }

  async function undo() {
    const told = await tried(() => api("POST", `api/data/${number}/undo`));
    if (told) say(told.decision ? "Taken back." : "There is nothing to take back.");
    if (told?.decision) mark(told.decision);
    const at = told?.decision ? figures.findIndex((one) => Number(one.dataset.image) === told.decision.numbers[0]) : -1;
    if (at >= 0) show(at);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.class !== undefined) inTurn(() => decide("relabel", button.dataset.class));
    else if (button.dataset.decide) inTurn(() => decide(button.dataset.decide));
    else if (button.dataset.step) inTurn(() => show(current + Number(button.dataset.step)));
    else if ("undo" in button.dataset) inTurn(undo);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    if (/^[1-9]$/.test(key) && buttons[key - 1]) inTurn(() => decide("relabel", buttons[key - 1].dataset.class));
    else if (key === "d") inTurn(() => decide("drop"));
    else if (key === "k") inTurn(() => decide("keep"));
    else if (key === "u") inTurn(undo);
    else if (!strip.contains(document.activeElement) && key === "arrowright") inTurn(() => show(current + 1));
    else if (!strip.contains(document.activeElement) && key === "arrowleft") inTurn(() => show(current - 1));
  });
  function mark(made) {
    for (const one of figures) {
      if (made.numbers.includes(Number(one.dataset.image))) {
        one.querySelector("[data-decided]").textContent = made.written || `${one.dataset.suggested}?`;
      }
    }
  }

  onEvent((facts) => {
    if (facts.reset) location.reload();
    if (String(facts.data) === number && facts.made) mark(facts.made);
  });
  show(0);
}
