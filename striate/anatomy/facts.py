"""The facts files of the catalogue, counted: `python -m striate.anatomy.facts [PAPER ...]` writes them again.

A file of `striate/nets/facts` belongs to the module of that name in `striate/nets`. It is a list of papers. What is
written manually: the paper, the published numbers and the rows of reference tables. What is counted here, from the nets
themselves: `parameters`, and `madds`, the multiply-adds of one image of `input_size`. To add a net, write its entry
with `{}` and run the command; a test recounts every file.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from striate.anatomy import techniques
from striate.anatomy.summary import madds, parameters
from striate.nets.build import instantiate, variants
from striate.nets.catalog import FACTS, TECHNIQUES, clear
from striate.storage import write_text

_WIDTH = 120


def recounted(path: Path) -> str:
    """The text of a facts file with its networks counted again."""
    papers = json.loads(path.read_text(encoding="utf-8"))
    for paper in papers:
        for name, net in paper["nets"].items():
            given = {key: net.get(key, paper[key]) for key in ("classes", "in_channels", "input_size")}
            found = counts(path.stem, name, given["classes"], given["in_channels"], tuple(given["input_size"]))
            manual = {key: value for key, value in net.items() if key not in ("parameters", "madds")}
            paper["nets"][name] = {"parameters": found[0], "madds": found[1]} | manual
    return _text(papers)


@functools.cache
def counts(file: str, name: str, classes: int, in_channels: int, input_size: tuple[int, int]) -> tuple[int, int]:
    """Parameters and multiply-adds of the network `name` of a module, counted on the meta device."""
    with torch.device("meta"):
        net = instantiate(variants(file)[name], classes=classes, in_channels=in_channels, input_size=input_size)
    return parameters(net), madds(net, input_size)


def _text(papers: Sequence[Mapping[str, Any]]) -> str:
    """JSON with a line for each net and each row, and a further one for what does not fit."""
    return "[\n" + ",\n".join(_paper(paper) for paper in papers) + "\n]\n"


def _paper(paper: Mapping[str, Any]) -> str:
    lines = [f"    {_json(key)}: {_json(value)}" for key, value in paper.items() if key not in ("nets", "rows")]
    nets = ",\n".join(_net(name, net) for name, net in paper["nets"].items())
    lines.append(f'    "nets": {{\n{nets}\n    }}')
    if "rows" in paper:
        rows = ",\n".join(f"      {_json(row)}" for row in paper["rows"])
        lines.append(f'    "rows": [\n{rows}\n    ]')
    return "  {\n" + ",\n".join(lines) + "\n  }"


def _net(name: str, net: Mapping[str, Any]) -> str:
    line = f"      {_json(name)}: {_json(net)}"
    if len(line) <= _WIDTH or "published" not in net:
        return line
    counted = {key: value for key, value in net.items() if key != "published"}
    return f'      {_json(name)}: {_json(counted)[:-1]},\n        "published": {_json(net["published"])}}}'


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def main(names: Sequence[str]) -> None:
    """Write the facts files of the modules `names` again, or all of them, and the techniques of their networks."""
    for path in sorted(FACTS.glob("*.json")):
        if not names or path.stem in names:
            write_text(path, recounted(path))
    clear()
    write_text(TECHNIQUES, techniques.file_text(names))


if __name__ == "__main__":
    main(sys.argv[1:])
