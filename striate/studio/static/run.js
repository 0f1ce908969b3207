// Run: state, stage, bars, curves and log, as they are told.

import { api, onEvent, put, root, tried } from "./page.js";
import { bars } from "./job.js";

const page = document.getElementById("run");
const name = encodeURIComponent(page.dataset.run);
const $ = (id) => document.getElementById(id);
let asking = false;
let again = false;

async function refresh() {
  if (asking) { again = true; return; }
  asking = true;
  await tried(async () => {
    const [facts, curves] = await Promise.all([api("GET", `api/runs/${name}`), fetch(`${root}runs/${name}/curves`)]);
    show(facts);
    if (curves.ok) draw(await curves.text());
  });
  asking = false;
  if (again) { again = false; refresh(); }
}

function show(facts) {
  if (facts.state === "done" && page.dataset.state !== "done") { location.reload(); return; }
  page.dataset.state = facts.state;
  page.dataset.job = facts.job;
  const tag = document.querySelector("[data-state].tag");
  tag.textContent = facts.words;
  tag.className = `tag state ${facts.state}`;
  const live = facts.state === "running" || facts.state === "waiting";
  $("live").hidden = !live;
  $("stop").hidden = !live || !facts.job;
  $("resume").hidden = !facts.resumable;
  $("error").hidden = !["failed", "lost"].includes(facts.state);
  put("error", facts.error || "It ended before it told anything; start it again.");
  put("stage", facts.stage || facts.words);
  put("result", facts.result);
  if (facts.net) put("plan", `${facts.net}, ${facts.strategy}${facts.why ? `: ${facts.why}` : ""}.`);
  put("log", facts.lines.join("\n"));
  put("command", facts.shown);
  bars($("bars"), facts);
}

function draw(text) {
  if (draw.before === text) return;
  draw.before = text;
  $("curves").replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
}

$("stop").addEventListener("click", () => tried(async () => {
  $("stop").disabled = true;
  await api("POST", `api/jobs/${page.dataset.job}/stop`).finally(() => { $("stop").disabled = false; });
  await refresh();
}));
$("resume").addEventListener("click", () => tried(async () => { await api("POST", `api/runs/${name}/resume`); await refresh(); }));

onEvent((facts) => { if (facts.reset || facts.run === page.dataset.run) refresh(); });
if (["running", "waiting"].includes(page.dataset.state)) refresh();
