"""Render benchmarks/records as docs/measured.md and measured.svg: seconds and memory against the number of images."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from records import record

DOCS = Path(__file__).parent
INTRODUCTION = """# What was measured

Generated from `benchmarks/records` by `python docs/render_measured.py`: each record names its machine, versions,
commands and number of runs. Seconds on one machine say little about those on another; ratios were measured in one run.
"""
WIDTH, HEIGHT, LEFT, TOP = 340, 230, 56, 28
PANELS = (("seconds", "Seconds, whole run"), ("peak_megabytes", "Peak memory, MB"))
COLOURS = {10: "#1f6feb", 100: "#bc4c00", 1000: "#8250df"}


def sizes() -> list[tuple[int, int, dict[str, Any]]]:
    """Images, classes and row of each run of benchmarks/size.py."""
    found = []
    for row in record("size")["rows"]:
        images, classes = (int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", row["what"])[:2])
        found.append((images, classes, row))
    return sorted(found, key=lambda one: one[:2])


def rendered() -> str:
    """The page."""
    size, features, light = record("size"), record("features"), record("first-light")
    lines = [
        INTRODUCTION,
        "## Folders of any size",
        f"`striate train FOLDER --quick` on CIFAR-10-JPEG, with an empty cache ({size['machine']}, {size['date']}).",
        "With 100 and 1,000 classes, each class's images are dealt out to ten or a hundred.",
        "",
        "![Seconds and memory against the number of images](measured.svg)",
        "",
        "| images | classes | seconds | of these features | of these the head | peak MB | report MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for images, classes, row in sizes():
        stages = row["stages"]
        lines.append(
            f"| {images:,} | {classes:,} | {row['seconds']:.0f} | {stages['read and extract features']:.0f} | "
            f"{stages['fit the head']:.1f} | {row['peak_megabytes']:,} | {row['report_megabytes']} |"
        )
    lines += ["", "## Features beside raw OpenVINO", ""]
    for row in features["rows"]:
        lines.append(
            f"- {row['what'][0].upper()}{row['what'][1:]}: {row['ratio_of_medians']} of the time of raw OpenVINO at "
            f"its best batch ({row['best']}) plus the same decoding (n = {row['n']})."
        )
    lines += ["", "## The main job", "", "| what | seconds | peak MB | n |", "|---|---|---|---|"]
    for row in light["rows"]:
        said = f" ({row['said']})" if "said" in row else ""
        right = f", {row['correct']} of {row['total']}" if "correct" in row else ""
        lines.append(
            f"| {row['what']}{right}{said} | {row['seconds_median']:.2f} | {row['peak_megabytes']:,} | {row['n']} |"
        )
    return "\n".join(lines) + "\n"


def drawing() -> str:
    """Two charts side by side, both axes in powers of ten."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT + 30}" font-family="sans-serif" '
        'font-size="11">',
        f'<rect width="{2 * WIDTH}" height="{HEIGHT + 30}" fill="#ffffff"/>',
    ]
    for number, (key, title) in enumerate(PANELS):
        parts += panel(number * WIDTH, key, title)
    for place, (classes, colour) in enumerate(COLOURS.items()):
        x = LEFT + 110 * place
        parts.append(f'<rect x="{x}" y="{HEIGHT + 8}" width="12" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="{HEIGHT + 14}" fill="#333333">{classes:,} classes</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(left: int, key: str, title: str) -> list[str]:
    """One chart: its grid, and a line for each number of classes."""
    found = [(images, classes, float(row[key])) for images, classes, row in sizes()]
    across = (math.log10(300), math.log10(100_000))
    up = (math.floor(math.log10(min(y for _, _, y in found))), math.ceil(math.log10(max(y for _, _, y in found))))

    def at(images: float, value: float) -> tuple[float, float]:
        x = left + LEFT + (math.log10(images) - across[0]) / (across[1] - across[0]) * (WIDTH - LEFT - 20)
        y = HEIGHT - 30 - (math.log10(value) - up[0]) / (up[1] - up[0]) * (HEIGHT - 30 - TOP)
        return round(x, 1), round(y, 1)

    parts = [f'<text x="{left + LEFT}" y="16" fill="#111111" font-weight="bold">{title}</text>']
    for power in range(up[0], up[1] + 1):
        (x, y), (end, _) = at(300, 10**power), at(100_000, 10**power)
        parts.append(f'<line x1="{x}" y1="{y}" x2="{end}" y2="{y}" stroke="#dddddd"/>')
        parts.append(f'<text x="{x - 6}" y="{y + 4}" text-anchor="end" fill="#555555">{10**power:,}</text>')
    for images in (400, 4_000, 13_000, 60_000):
        x, y = at(images, 10 ** up[0])
        parts.append(f'<text x="{x}" y="{y + 16}" text-anchor="middle" fill="#555555">{images:,}</text>')
    for classes, colour in COLOURS.items():
        points = [at(images, value) for images, kind, value in found if kind == classes]
        joined = " ".join(f"{x},{y}" for x, y in points)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in points]
    return parts


if __name__ == "__main__":
    (DOCS / "measured.md").write_text(rendered(), encoding="utf-8")
    (DOCS / "measured.svg").write_text(drawing(), encoding="utf-8")
