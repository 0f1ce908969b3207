// Ship: the export as a job.

import { api, onEvent, put, tried } from "./page.js";
import { bars } from "./job.js";

const page = document.getElementById("ship");
const $ = (id) => document.getElementById(id);
if (page && $("export")) begin();

function begin() {
  const address = `api/runs/${encodeURIComponent(page.dataset.run)}/export`;
  const show = (facts) => {
    page.dataset.job = facts.job;
    const live = facts.state === "waiting" || facts.state === "running";
    $("export").disabled = live;
    $("job").hidden = !live;
    $("error").hidden = !["failed", "lost"].includes(facts.state);
    put("error", facts.error || "The export ended before it told anything; start it again.");
    put("stage", facts.stage || facts.words);
    bars($("bars"), facts);
    $("onnx").hidden = !facts.size || live;
    if (facts.parity && !live) put("parity", facts.parity);
    if (facts.size) put("export", "Export again");
  };
  $("export").addEventListener("click", () => tried(async () => show(await api("POST", address))));
  onEvent((facts) => { if (facts.reset || String(facts.job) === page.dataset.job) tried(async () => show(await api("GET", address))); });
  if (["waiting", "running"].includes(page.dataset.state)) tried(async () => show(await api("GET", address)));
}
