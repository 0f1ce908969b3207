// New: a dropped folder, the camera, a folder of this machine.

import { api, root, tried } from "./page.js";
import { camera } from "./camera.js";
import { dropping } from "./upload.js";

dropping(document.getElementById("drop"), document.getElementById("folder"), document.getElementById("progress"));
camera();

document.getElementById("open").addEventListener("submit", async (event) => {
  event.preventDefault();
  const made = await tried(() => api("POST", "api/data", { path: document.getElementById("path").value }));
  if (made) location.href = `${root}data/${made.number}`;
});
