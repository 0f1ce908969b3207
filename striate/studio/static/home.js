// Home: dropping a folder, the queue, hiding, and following what runs.

import { api, element, onEvent, root, say, tried } from "./page.js";
import { dropping } from "./upload.js";

dropping(document.getElementById("drop"), document.getElementById("folder"), document.getElementById("progress"));

async function moved(job, by) {
  const items = [...document.querySelectorAll("[data-waiting]")].map((item) => Number(item.dataset.job));
  const place = items.indexOf(job);
  const other = place + by;
  if (other < 0 || other >= items.length) return;
  [items[place], items[other]] = [items[other], items[place]];
  await tried(() => api("PUT", "api/queue", { jobs: items }));
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { stop, up, down, hide } = button.dataset;
  if (stop) await tried(() => api("POST", `api/jobs/${stop}/stop`));
  if (up) await moved(Number(up), -1);
  if (down) await moved(Number(down), 1);
  if (hide) {
    const path = `api/runs/${encodeURIComponent(hide)}/hidden`;
    if ((await tried(() => api("PUT", path, { hidden: true }))) === undefined) return;
    button.closest("tr").hidden = true;
    say(`${hide} is hidden; its folder stays. `);
    const undo = element("button", { textContent: "Undo" });
    undo.onclick = () => tried(async () => {
      await api("PUT", path, { hidden: false });
      button.closest("tr").hidden = false;
      say("");
    });
    document.getElementById("status").append(undo);
  }
});

// The page as it is now, part by part; what a person is doing in the others stays.
let due = 0;
async function refresh() {
  due = 0;
  const answer = await fetch(root || "./");
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const queue = fresh.getElementById("queue");
  const now = document.getElementById("queue");
  if (queue && now) now.replaceWith(queue);
  else if (queue) document.getElementById("runs").before(queue);
  else if (now) now.remove();
  document.getElementById("runs").replaceWith(fresh.getElementById("runs"));
  const cards = fresh.querySelector("#data .cards");
  const old = document.querySelector("#data .cards") || document.querySelector("#data > .quiet");
  if (cards && old) old.replaceWith(cards);
}

onEvent((facts) => {
  if (facts.uploaded || facts.journal) return;
  if (!due) due = setTimeout(refresh, 250);
});
