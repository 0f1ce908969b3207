"""From a network to the content of its page, and the remarks shared by page and text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from striate.anatomy.blocks import Stage, stages
from striate.anatomy.trace import trace_training
from striate.nets.base import Network
from striate.report.net.content import Block, Box, NetPage, StageRow


def net_page(shown: Mapping[str, Any], net: Network) -> NetPage:
    """The page of what `striate.jobs.catalogue.show` found."""
    drawn = {stage.name: stage for stage in stages(net, trace_training(net, shown["input_size"]))}
    rows = [
        StageRow(
            row["name"],
            row["output"],
            row["parameters"],
            row["madds"],
            field(row),
            row["activation_bytes"],
            _note(row, above, drawn),
            _drawn(drawn[row["name"]]) if row["name"] in drawn else [],
        )
        for above, row in zip(["", *(row["name"] for row in shown["stages"])], shown["stages"], strict=False)
    ]
    lead = f"{shown['title']} ({shown['year']}), {shown['paper']}"
    facts = [(name, _apart(value), _apart(rest)) for name, value, rest in _facts(shown)]
    return NetPage(shown["name"], lead, shown["table"], facts, rows, [_apart(remark) for remark in remarks(shown)])


def _apart(text: str) -> str:
    """Thousands separated as in the page's table: 12 345, by a narrow no-break space."""
    return re.sub(r"(?<=\d),(?=\d{3})", "\u202f", text)


def _note(row: Mapping[str, Any], above: str, drawn: Mapping[str, Stage]) -> str:
    """What is unusual about a stage: it only runs in training, or its input is not the stage above it."""
    source = drawn[row["name"]].source if row["name"] in drawn else ""
    notes = ["in training only"] if row["training_only"] else []
    return ", ".join([*notes, f"from {source}"] if source not in ("", above) else notes)


def _drawn(stage: Stage) -> list[Block]:
    """The blocks of a stage as the page's rows."""
    return [
        Block(
            block.name,
            block.times,
            block.dense,
            [Box(unit.number, unit.kind, unit.label, unit.detail, unit.inputs) for unit in block.units],
        )
        for block in stage.blocks
    ]


def _facts(shown: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    published = shown["published"]
    height, width = shown["input_size"]
    stated = {key: f"paper: {value:,}" for key, value in published.items() if isinstance(value, int)}
    own = not shown["options"] and shown["classes"]
    facts = [
        (
            "Image",
            f"{shown['in_channels']} \u00d7 {height} \u00d7 {width}",
            f"{shown['classes']:,} classes" if shown["classes"] else "",
        ),
        ("Parameters", f"{shown['parameters']:,}", stated.get("parameters", "") if own else ""),
        ("Multiply-adds", f"{shown['madds']:,}", stated.get("madds", "") if own else ""),
        ("Activation memory", f"{amount(shown['activation_bytes'])}", "per image in training, in float32"),
    ]
    errors = {"error": "{} %", "top5_error": "{} % top-5"}
    if known := ", ".join(text.format(published[key]) for key, text in errors.items() if key in published):
        rest = [str(published[key]) for key in ("data", "protocol", "source") if key in published]
        rest += ["from memory, not checked"] if published.get("memory") else []
        facts.append(("Published error", known, ", ".join(rest)))
    return [*facts, ("Constructor", shown["made"], f"striate/nets/{shown['file']}.py")]


def remarks(shown: Mapping[str, Any]) -> list[str]:
    """Notes on the columns."""
    notes = []
    if any(row["gated"] for row in shown["stages"]):
        notes.append("+: a gate such as squeeze-and-excitation also sees the whole image; the number is without it")
    left_out = [
        f"{each['number']} {each['kind']} ({each['parameters']:,} parameters)"
        if each["parameters"]
        else f"{each['kind']} ({each['madds']:,})"
        for each in shown["uncounted"]
    ]
    also = f", nor {', '.join(left_out)}" if left_out else ""
    notes.append(f"multiply-adds: not counting biases, activations, pooling and sums{also}")
    notes.append("memory: activation memory per image in a training step, in bytes of float32")
    notes.append(f"more: docs/nets/{shown['file']}.md")
    return notes


def field(row: Mapping[str, Any]) -> str:
    """A receptive field as text: 32 for 32 x 32, "all" for the whole image, with + if a gate sees the whole image."""
    if row["receptive_field"] is None:
        return "all"
    down, across = row["receptive_field"]
    return (f"{down}" if down == across else f"{down}x{across}") + ("+" if row["gated"] else "")


def amount(size: int) -> str:
    """Bytes in a suitable unit: 1.5 MB, of a million bytes."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            share = size / 1000**power
            return f"{share:.0f} {unit}" if share >= 99.5 else f"{share:.1f} {unit}"
    return f"{size} bytes"
