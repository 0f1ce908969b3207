// Uploading a folder: hashed first, so that what is there already is not sent; four files at a time.

import { api, element, root, say } from "./page.js";

const TOGETHER = 4;
const BATCH = 100;
const PARTS = new Set(["train", "val", "test"]);
const IMAGES = /\.(jpe?g|jpe|jfif|png|gif|bmp|tiff?|webp|avif|p[pgbn]m|mpo|tga|ico|jp2|heic|heif|hif)$/i;

/** Files of a drop, with their paths; folders are walked. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry && item.webkitGetAsEntry()).filter(Boolean);
  const found = [];
  const walk = async (entry, path) => {
    if (entry.isFile) {
      const file = await new Promise((done, failed) => entry.file(done, failed));
      found.push({ file, path: path + entry.name });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed));
      if (!some.length) return;
      for (const one of some) await walk(one, `${path}${entry.name}/`);
    }
  };
  for (const entry of entries) await walk(entry, "");
  return found;
}

/** Class and part of a path, as the command line reads folders: of photos/train/bees/day1/1.jpg bees, in train. */
export function placed(path, rooted) {
  const folders = path.split("/").slice(rooted ? 1 : 0, -1);
  const part = folders.length > 1 && PARTS.has(folders[0].toLowerCase()) ? folders.shift().toLowerCase() : "";
  return { class: folders[0] || "", part };
}

/** Whether all paths are in one folder that holds the classes, and is none itself. */
function rootedAll(files) {
  const first = files[0].path.split("/")[0];
  return files.every((one) => one.path.split("/")[0] === first) && files.some((one) => one.path.split("/").length > 2);
}

async function sha256(file) {
  if (!crypto.subtle) return "";
  const hash = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Send one file, trying again when the connection broke or the server was busy. */
export async function send(number, name, part, file, title) {
  const query = `name=${encodeURIComponent(title)}&part=${part}`;
  for (let attempt = 0; ; attempt++) {
    try {
      return await api("PUT", `api/data/${number}/files/${encodeURIComponent(name)}?${query}`, file);
    } catch (error) {
      if (attempt >= 4 || (error.status && error.status !== 503 && error.status !== 408)) throw error;
      await new Promise((done) => setTimeout(done, 300 * 2 ** attempt));
    }
  }
}

/** Upload files into a data set; shown(done, of, refused) is called on the way. Returns the refused ones. */
async function uploadAll(number, files, rooted, shown) {
  const groups = new Map();
  for (const one of files) {
    const { class: name, part } = placed(one.path, rooted);
    const key = JSON.stringify([name, part]);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(one);
  }
  const refused = [];
  let done = 0;
  for (const [key, group] of groups) {
    const [name, part] = JSON.parse(key);
    for (let start = 0; start < group.length; start += BATCH) {
      const batch = group.slice(start, start + BATCH);
      const hashes = await Promise.all(batch.map((one) => sha256(one.file)));
      const asked = { class: name, part, sha256: hashes.filter(Boolean) };
      const known = new Set((await api("POST", `api/data/${number}/known`, asked)).known);
      const left = batch.filter((one, place) => !known.has(hashes[place]));
      done += batch.length - left.length;
      const worker = async () => {
        for (let one = left.shift(); one; one = left.shift()) {
          try {
            await send(number, name, part, one.file, one.file.name);
          } catch (error) {
            if (!error.status || error.status >= 500) throw error;
            refused.push(`${one.path}: ${error.message}`);
          }
          shown(++done, files.length, refused.length);
        }
      };
      await Promise.all(Array.from({ length: TOGETHER }, worker));
    }
  }
  return refused;
}

async function begin(files, progress, into) {
  const found = files.filter((one) => IMAGES.test(one.path) && !/(^|\/)\./.test(one.path));
  if (!found.length) throw new Error("There are no images in what was dropped. Drop a folder with one folder for each class.");
  const rooted = rootedAll(found);
  const images = found.filter((one) => placed(one.path, rooted).class);
  if (!images.length) throw new Error("An image without a folder has no class. Drop a folder with one folder for each class.");
  const data = into ? { number: into } : await api("POST", "api/data", { name: images[0].path.split("/")[0] });
  const bar = element("progress", { max: images.length, value: 0 });
  bar.setAttribute("aria-label", "Images sent");
  const line = element("p", {});
  progress.replaceChildren(line, bar);
  progress.hidden = false;
  const refused = await uploadAll(data.number, images, rooted, (done, of, wrong) => {
    bar.value = done;
    line.textContent = `${done} of ${of} images${wrong ? `, ${wrong} refused` : ""}`;
  });
  if (refused.length === images.length) throw new Error(`No image was taken. ${refused[0]}`);
  await api("POST", `api/data/${data.number}/audit`, {});
  location.href = `${root}data/${data.number}?tab=audit`;
}

/** Let a field take dropped folders, and, by click or Enter, a chosen one. */
export function dropping(field, input, progress) {
  const start = async (files) => {
    try {
      say("Reading the folder ...");
      const found = await files;
      say("");
      await begin(found, progress, field.dataset.number);
    } catch (error) {
      say(error.message, true);
    }
  };
  field.addEventListener("dragover", (event) => { event.preventDefault(); field.classList.add("over"); });
  field.addEventListener("dragleave", () => field.classList.remove("over"));
  field.addEventListener("drop", (event) => {
    event.preventDefault();
    field.classList.remove("over");
    start(dropped(event.dataTransfer));
  });
  field.addEventListener("click", (event) => { if (event.target !== input) input.click(); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); input.click(); }
  });
  input.addEventListener("change", () => {
    start(Promise.resolve([...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }))));
  });
}
