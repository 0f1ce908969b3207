// A grid of pictures: arrows move, Space or click chooses, Shift chooses up to there.

/** Set a grid up; changed(numbers) is called with the chosen images. Returns {chosen, clear, current}. */
export function choosing(grid, changed, moved = () => {}) {
  const figures = () => [...grid.querySelectorAll("[data-image]")];
  let anchor = 0;
  const chosen = () => figures().filter((one) => one.getAttribute("aria-selected") === "true").map((one) => Number(one.dataset.image));
  const select = (at, shift, keep) => {
    const all = figures();
    const [low, high] = shift ? [Math.min(anchor, at), Math.max(anchor, at)] : [at, at];
    all.forEach((one, place) => {
      const inside = place >= low && place <= high;
      const now = one.getAttribute("aria-selected") === "true";
      const next = inside ? (shift || !now) : (keep && now);
      one.setAttribute("aria-selected", String(next));
    });
    if (!shift) anchor = at;
    changed(chosen());
  };
  const focus = (at) => {
    const all = figures();
    const one = all[Math.max(0, Math.min(all.length - 1, at))];
    if (!one) return;
    for (const other of all) other.tabIndex = other === one ? 0 : -1;
    one.focus();
    moved(one);
  };
  grid.addEventListener("click", (event) => {
    const at = figures().indexOf(event.target.closest("[data-image]"));
    if (at < 0) return;
    select(at, event.shiftKey, true);
    focus(at);
  });
  grid.addEventListener("keydown", (event) => {
    const all = figures();
    const at = all.indexOf(document.activeElement);
    if (at < 0) return;
    const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -at, End: all.length - 1 - at }[event.key];
    if (by !== undefined) {
      event.preventDefault();
      focus(at + by);
      if (event.shiftKey) select(Math.max(0, Math.min(all.length - 1, at + by)), true, true);
    } else if (event.key === " ") {
      event.preventDefault();
      select(at, event.shiftKey, true);
    }
  });
  const clear = () => { for (const one of figures()) one.setAttribute("aria-selected", "false"); changed([]); };
  return { chosen, clear, focus, figures };
}
