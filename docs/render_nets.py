"""Render docs/nets: one page for each paper's file, from the file itself, its facts and its recipe."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import striate.nets
from striate.jobs.catalogue import show
from striate.jobs.net_page import field, remarks
from striate.nets.catalog import KINDS, Entry, entries, techniques

PAGES = Path(__file__).parent / "nets"
SOURCES = Path(striate.nets.__file__).parent
MADE = "Generated from `striate/nets` by `python docs/render_nets.py`."

# The published figures as text; other keys are printed as they are.
_PUBLISHED = {"parameters": "{:,} parameters", "madds": "{:,} multiply-adds", "error": "{} % error"}
_PUBLISHED |= {"top5_error": "{} % top-5 error", "connections": "{:,} connections"}
_PUBLISHED |= {"class_iou": "{} % mean IoU of classes", "bits_per_character": "{} bits per character"}
_PUBLISHED |= {"memory": "from memory, not checked"}


def rendered() -> Iterator[tuple[str, str]]:
    """File names with their pages, the index first."""
    files: dict[str, list[Entry]] = {}
    for net in entries(tiny=True):
        files.setdefault(net.file, []).append(net)
    lines = ["# The networks", "", MADE, "", "| paper | year | networks |", "|---|---|---|"]
    for file, nets in files.items():
        names = ", ".join(f"`{net.name}`" for net in nets if not net.tiny)
        lines.append(f"| [{nets[0].title}]({file}.md) | {nets[0].year} | {names} |")
    lines += [
        "",
        "## By technique",
        "",
        "Found in the networks themselves; `striate nets --technique NAME` lists them.",
    ]
    lines += ["", "| technique | networks |", "|---|---|"]
    every = [net for nets in files.values() for net in nets if not net.tiny]
    for technique in techniques():
        using = dict.fromkeys(f"[{net.file}]({net.file}.md)" for net in every if technique in net.techniques)
        lines.append(f"| {technique} | {', '.join(using)} |")
    lines += ["", "```{toctree}", ":hidden:", "", *files, "```"]
    yield "README.md", "\n".join(lines) + "\n"
    for file, nets in files.items():
        yield f"{file}.md", page(file, nets)


def page(file: str, nets: Sequence[Entry]) -> str:
    """The page of one file: what is cited, the tables with computed columns, the names, recipes, deviations."""
    source = (SOURCES / f"{file}.py").read_text("utf-8")
    first = nets[0]
    kinds = dict.fromkeys(net.kind for net in nets if net.kind != "classifier")
    said = [f"The kind of net: {kind}, {KINDS[kind]}.\n" for kind in kinds]
    lines = [f"# {first.title}", "", MADE, "", *_cited(source), "", *said, f"The file: [`striate/nets/{file}.py`]"]
    lines[-1] += f"(../../striate/nets/{file}.py)."
    lines += ["", *_tables(nets), *_names(nets), *_recipes(nets)]
    lines += ["## Deviations", "", closing_comment(source)]
    return "\n".join(lines) + "\n"


def _cited(source: str) -> list[str]:
    return (ast.get_docstring(ast.parse(source)) or "").splitlines()


def _tables(nets: Sequence[Entry]) -> Iterator[str]:
    """Each table of the file once, with the columns computed for the first network that is built from it."""
    from striate.anatomy.summary import table_text

    shown_tables: set[str] = set()
    for net in nets:
        table = table_text(net.name)
        if net.tiny or table in shown_tables:
            continue
        shown_tables.add(table)
        yield from (f"## The table of {net.name}", "", "```text", table.rstrip("\n"), "```", "")
        shown = show(net.name)
        height, width = shown["input_size"]
        yield f"Computed for {_input(net, height, width)}:"
        yield from ("", "| stage | output | parameters | multiply-adds | receptive field | activation memory, bytes |")
        yield "|---|---:|---:|---:|---:|---:|"
        for row in shown["stages"]:
            name = f"{row['name']} (in training only)" if row["training_only"] else row["name"]
            shape = " x ".join(str(side) for side in row["output"])
            numbers = f"{row['parameters']:,} | {row['madds']:,} | {field(row)} | {row['activation_bytes']:,}"
            yield f"| {name} | {shape} | {numbers} |"
        yield ""
        yield from (f"- {remark}" for remark in remarks(shown) if not remark.startswith("more:"))
        yield from ("", f"`striate show {net.name} --html {net.name}.html` draws it.", "")


def _input(net: Entry, height: int, width: int) -> str:
    if net.kind == "sequence-model":
        return f"{'one step' if width == 1 else f'{width} steps'} of a sequence of {net.in_channels} symbols"
    image = f"an image of {net.in_channels} x {height} x {width}"
    return image if net.classes is None else f"{image} and {net.classes:,} classes"


def _names(nets: Sequence[Entry]) -> Iterator[str]:
    yield from ("## Names", "", "| name | input | parameters | multiply-adds | published |", "|---|---:|---:|---:|---|")
    for net in nets:
        shape = " x ".join(str(side) for side in (net.in_channels, *net.input_size))
        published = "for tests" if net.tiny else _published(net)
        yield f"| `{net.name}` | {shape} | {net.parameters:,} | {net.madds:,} | {published} |"
    yield ""
    if with_weights := [f"`{net.name}` ({net.weights})" for net in nets if net.weights]:
        yield from (f"Published weights available: {', '.join(with_weights)}.", "")


def _published(net: Entry) -> str:
    figures = (_PUBLISHED.get(key, "{}").format(value) for key, value in net.published.items())
    return ", ".join(figures).replace("|", "\\|")


def _recipes(nets: Sequence[Entry]) -> Iterator[str]:
    recipes = dict.fromkeys(net.recipe for net in nets if net.recipe)
    if recipes:
        yield from ("## The paper's training", "")
    for recipe in recipes:
        text = (SOURCES / "recipes" / f"{recipe}.toml").read_text("utf-8")
        yield from (
            f"[`{recipe}.toml`](../../striate/nets/recipes/{recipe}.toml):",
            "",
            "```toml",
            text.rstrip(),
            "```",
            "",
        )


def closing_comment(source: str) -> str:
    """The comment with which a file ends."""
    lines: list[str] = []
    for line in reversed(source.rstrip().splitlines()):
        if not line.startswith("#"):
            break
        lines.insert(0, line.removeprefix("#").strip())
    return "\n".join(lines)


def write() -> None:
    """Write all pages, and remove those of files that no longer exist."""
    pages = dict(rendered())
    PAGES.mkdir(exist_ok=True)
    for name, text in pages.items():
        (PAGES / name).write_text(text, "utf-8")
    for path in PAGES.glob("*.md"):
        if path.name not in pages:
            path.unlink()


if __name__ == "__main__":
    write()
