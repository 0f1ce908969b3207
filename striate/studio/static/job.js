// The bars of a job.

import { element } from "./page.js";

/** Show the bars of a job's facts in a place; bars that go on keep their element, so that nothing jumps. */
export function bars(place, facts) {
  while (place.children.length > facts.bars.length) place.lastChild.remove();
  facts.bars.forEach((bar, at) => {
    let row = place.children[at];
    if (!row) {
      row = element("div", { className: "meterbar" }, element("span", {}), element("progress", {}));
      place.append(row);
    }
    const [label, meter] = row.children;
    label.textContent = `${bar.name} ${bar.done} of ${bar.total}${bar.note ? `, ${bar.note}` : ""}`;
    meter.max = bar.total || 1;
    meter.value = bar.done;
    meter.setAttribute("aria-label", bar.name);
  });
}
