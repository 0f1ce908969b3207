// Data: choosing and deciding in the grid, the audit's progress, undo; other tabs are followed.

import { api, onEvent, say, tried } from "./page.js";
import { bars } from "./job.js";
import { choosing } from "./choosing.js";
import { dropping } from "./upload.js";

const page = document.getElementById("page");
const { number, word, tab } = page.dataset;
const bar = document.getElementById("selection");
const grid = document.getElementById("grid");
const drop = document.getElementById("drop");
if (drop) dropping(drop, document.getElementById("folder"), document.getElementById("progress"));
const choice = grid && choosing(grid, (images) => {
  bar.hidden = !images.length;
  document.getElementById("selected").textContent = `${images.length} chosen`;
});

function mark(made) {
  for (const image of made.numbers) {
    const place = grid.querySelector(`[data-image="${image}"] [data-decided]`);
    if (place) place.textContent = made.written;
  }
}

async function decide(decision) {
  const images = choice.chosen();
  if (!images.length) return;
  const to = decision === "relabel" ? document.getElementById("to").value : "";
  await tried(async () => {
    mark((await api("POST", `api/data/${number}/decisions`, { word, images, decision, to })).decision);
    choice.clear();
    say(`${decision} ${to} for ${images.length} ${images.length === 1 ? "image" : "images"}. U takes it back.`);
  });
}

async function undo() {
  const told = await tried(() => api("POST", `api/data/${number}/undo`));
  if (told) say(told.decision ? "Taken back." : "There is nothing to take back.");
  if (told?.decision && grid) mark(told.decision);
  if (told && tab === "decisions") location.reload();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.decide) decide(button.dataset.decide);
  if (button && "undo" in button.dataset) undo();
});

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  if (key === "u") undo();
  if (!grid) return;
  if (key === "d") decide("drop");
  if (key === "k") decide("keep");
});

document.getElementById("audit")?.addEventListener("click", async (event) => {
  event.target.disabled = true;
  const labels = document.getElementById("labels").checked;
  const job = await tried(() => api("POST", `api/data/${number}/audit`, { labels }));
  if (job) follow();
  else event.target.disabled = false;
});

const shown = document.getElementById("job");
async function follow() {
  const facts = await tried(() => api("GET", `api/data/${number}/audit`));
  if (!facts) return;
  if (facts.state === "waiting" || facts.state === "running") {
    shown.hidden = false;
    bars(shown, { bars: facts.bars.length ? facts.bars : [{ name: facts.stage || facts.words, done: 0, total: 1, note: "" }] });
  } else location.reload();
}
if (shown && !shown.hidden) follow();

onEvent((facts) => {
  if (facts.reset) location.reload();
  if (String(facts.data) !== number) return;
  if (facts.kind === "audit" && shown) follow();
  if (facts.made && grid) mark(facts.made);
  else if (facts.journal && tab === "decisions") location.reload();
});
