"""The audit page's only script: it makes the choices complete and saves them as a decisions file. Nothing is sent."""

SCRIPT = r"""
(() => {
  "use strict";
  const all = (query) => [...document.querySelectorAll(query)];
  const bar = document.getElementById("save"), tally_text = document.getElementById("tally");
  const entries = all("[data-path]");
  if (!bar || !entries.length) return;

  // Names stand in the page percent-encoded, byte for byte: not every file name is text.
  const bytes = (quoted) => {
    const out = [];
    for (let i = 0; i < quoted.length; i++) {
      if (quoted[i] === "%") { out.push(parseInt(quoted.slice(i + 1, i + 3), 16)); i += 2; }
      else out.push(quoted.charCodeAt(i));
    }
    return out;
  };
  const encoded = (text) => [...new TextEncoder().encode(text)]
    .map((byte) => "%" + byte.toString(16).padStart(2, "0")).join("");
  const harmless = (raw) => {  // as `as_cell` of the package: no spreadsheet takes it for a formula
    const text = String.fromCharCode(...raw.slice(0, 64));
    const number = raw.length < 64 && text.trim() !== "" && isFinite(Number(text));
    return /^(?:\.\/)*[=+\-@\t\r]/.test(text) && !number ? [46, 47, ...raw] : raw;
  };
  const cell = (quoted, place) => {  // RFC 4180
    const plain = bytes(quoted), isNew = place === 2 && plain[0] === 43;  // the + before the name of a new class stays
    const raw = isNew ? plain : harmless(plain);
    if (![34, 44, 10, 13].some((byte) => raw.includes(byte))) return raw;
    return [34, ...raw.flatMap((byte) => byte === 34 ? [34, 34] : [byte]), 34];
  };

  const choices = (id) => all("#" + id + " option").map((option) => [option.value, option.dataset.name]);
  const classes = choices("classes"), parts = choices("parts"), byWord = new Map(classes);
  const { complete, ask: other, hint, thing } = document.getElementById("classes").dataset;

  const add = (select, value, words) => {
    if ([...select.options].some((option) => option.value === value)) return;
    const option = document.createElement("option");
    option.value = value;
    option.textContent = words;
    select.append(option);
  };
  const listed = classes.length <= 12 && complete === "yes";
  for (const entry of entries) {
    const select = entry.querySelector("select");
    if (listed) for (const [words, name] of classes) {
      if (words !== entry.dataset.label) add(select, "relabel:" + name, "change " + thing + " to " + words);
    }
    for (const [words, name] of parts) {
      if (words !== entry.dataset.part) add(select, "move:" + name, "move it to " + words);
    }
    add(select, "ask", other);
  }

  const ask = (entry, select) => {  // a class that is not in the list is typed
    let input = entry.querySelector("input");
    if (select.value !== "ask") { input?.remove(); return; }
    if (input) return;
    input = document.createElement("input");
    input.setAttribute("list", "classes");
    input.setAttribute("aria-label", hint);
    input.placeholder = hint;
    select.after(input);
    input.focus();
    input.addEventListener("change", () => {
      const word = input.value.trim();
      if (!word) return;
      // A class that the data do not have yet is written with a + before it: a typing error creates none.
      const unknown = complete === "yes" && !word.startsWith("+") ? "+" + word : word;
      const value = "relabel:" + (byWord.get(word) ?? encoded(unknown));
      add(select, value, "change " + thing + " to " + word);
      select.value = value;
      input.remove();
      changed(entry, select);
    });
  };
  const changed = (entry, select) => {  // a file that two findings name is decided once
    const words = select.selectedOptions[0]?.textContent ?? "";
    for (const other of entries) if (other !== entry && other.dataset.path === entry.dataset.path) {
      const twin = other.querySelector("select");
      if (select.value !== "ask") { add(twin, select.value, words); twin.value = select.value; }
    }
    count();
  };
  const decided = () => {
    const rows = new Map();
    for (const entry of entries) if (!rows.has(entry.dataset.path)) {
      const [kind, to] = entry.querySelector("select").value.split(":");
      const decision = kind === "ask" ? "keep" : kind;
      const { path, found, suggested, why, row } = entry.dataset;
      if (decision !== "keep" || suggested) {
        rows.set(path, [Number(row), [path, decision, to ?? "", found, suggested, why ?? ""]]);
      }
    }
    return [...rows.values()].sort((one, other) => one[0] - other[0]).map((row) => row[1]);
  };
  const count = () => {
    const tally = { drop: 0, relabel: 0, move: 0, keep: 0 };
    for (const row of decided()) tally[row[1]] += 1;
    tally_text.textContent = tally.drop + " to drop, " + tally.relabel + " to relabel, " + tally.move + " to move, "
      + tally.keep + " unchanged";
  };
  const save = () => {
    const out = bytes("path,decision,to,found,suggested,why%0d%0a");
    for (const row of decided()) {
      row.forEach((value, place) => {
        if (place) out.push(44);
        for (const byte of cell(value, place)) out.push(byte);
      });
      out.push(13, 10);
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([new Uint8Array(out)], { type: "text/csv" }));
    link.download = "decisions.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  for (const entry of entries) {
    const select = entry.querySelector("select");
    select.addEventListener("change", () => { ask(entry, select); changed(entry, select); });
  }
  for (const button of all(".follow")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      for (const entry of button.parentElement.querySelectorAll("[data-path]")) {
        const select = entry.querySelector("select"), advised = select.querySelector("[data-advised]");
        if (advised) { select.value = advised.value; ask(entry, select); changed(entry, select); }
      }
    });
  }
  bar.querySelector("button").addEventListener("click", save);
  bar.hidden = false;
  count();
})();
"""
