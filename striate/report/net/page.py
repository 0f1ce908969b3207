"""The page of a network as one string of HTML without any script."""

from __future__ import annotations

from collections.abc import Sequence

from striate.report import figures, frame
from striate.report.figures import meter
from striate.report.net import drawing
from striate.report.net.content import Block, NetPage, StageRow
from striate.report.wording import text
from striate.sections.wording import number

CSS = """
.stage { display: grid; grid-template-columns: 9.5rem minmax(0, 1fr); gap: .4rem 1.4rem; padding: .7rem 0;
  border-top: 1px solid var(--line); align-items: center }
.stage:first-of-type { border-top: 0 }
.stage > div > b { display: block } .stage small { color: var(--muted); display: block; font-size: .8rem;
  line-height: 1.4; font-variant-numeric: tabular-nums }
.blocks { display: flex; flex-wrap: wrap; gap: .5rem .3rem; align-items: center; min-width: 0 }
.block { margin: 0; max-width: 100%; overflow-x: auto; overflow-y: hidden }
.block.many { border: 1px dashed var(--line); border-radius: 12px; padding: .3rem .55rem .35rem }
.block figcaption { color: var(--muted); font-size: .8rem } .block figcaption b { color: var(--ink) }
.derived small { color: var(--muted); display: block }
.derived td, .derived th { white-space: nowrap } .derived .fill { min-width: 5rem; width: 18% }
.derived tfoot > tr > * { border-bottom: 0; border-top: 2px solid var(--line); font-weight: 600 }
.remarks { margin: .9rem 0 0; padding-left: 1.1rem; color: var(--muted); font-size: .9rem }
@media (max-width: 46rem) { .stage { grid-template-columns: minmax(0, 1fr) } .derived .fill { display: none } }
"""

STYLE = figures.CSS + drawing.CSS + CSS


def render_net(page: NetPage) -> str:
    """The whole page: facts, the paper's table, the diagram of every stage, and the derived columns."""
    links = (("table", "The paper's table"), ("drawing", "Architecture"), ("derived", "Stages"))
    parts = (
        frame.contents(links),
        f"<section><dl>{''.join(_fact(*fact) for fact in page.facts)}</dl></section>",
        frame.section("table", "The paper's table", "", f"<pre>{text(page.table, lines=True)}</pre>"),
        frame.section(
            "drawing",
            "Architecture",
            "From left to right, in the order of the forward pass. Below a name: the output shape of the stage, "
            "channels x height x width.",
            _stages(page.stages),
        ),
        frame.section("derived", "Stages", "", _derived(page)),
    )
    return frame.document(text(page.name), text(page.lead), f"<main>{''.join(parts)}</main>", STYLE)


def _fact(term: str, said: str, remark: str) -> str:
    more = f"<small>{text(remark)}</small>" if remark else ""
    return f"<div><dt>{text(term)}</dt><dd>{text(said)}{more}</dd></div>"


def _stages(stages: Sequence[StageRow]) -> str:
    rows = "".join(
        f'<div class="stage"><div><b>{text(stage.name)}</b><small>{_shape(stage.output)}</small>{_note(stage)}</div>'
        f'<div class="blocks">{"".join(_block(block) for block in stage.blocks)}</div></div>'
        for stage in stages
        if stage.blocks
    )
    return rows + drawing.key([block for stage in stages for block in stage.blocks], arcs=drawing.ARC_MARK in rows)


def _note(stage: StageRow) -> str:
    return f"<small>{text(stage.note)}</small>" if stage.note else ""


def _block(block: Block) -> str:
    if block.times == 1 and not block.dense:
        return f'<figure class="block">{drawing.drawn(block)}</figure>'
    times = f"<b>{block.times} &times;</b> " if block.times > 1 else ""
    dense = "input: all outputs before it" if block.times == 1 else "input of each: all outputs before it"
    said = f"<figcaption>{times}{dense if block.dense else ''}</figcaption>"
    return f'<figure class="block many">{said}{drawing.drawn(block)}</figure>'


def _shape(sides: Sequence[int]) -> str:
    return " &times; ".join(str(side) for side in sides)


def _derived(page: NetPage) -> str:
    heads = ("Output", "Parameters", "Multiply-adds", "", "Receptive field", "Activation memory")
    cells = "".join(f'<th scope="col" class="num">{head}</th>' if head else '<td class="fill"></td>' for head in heads)
    most = max((stage.madds for stage in page.stages), default=0) or 1
    rows = "".join(
        f'<tr><th scope="row">{text(stage.name)}{_note(stage)}</th>'
        f'<td class="num">{_shape(stage.output)}</td><td class="num">{number(stage.parameters)}</td>'
        f'<td class="num">{number(stage.madds)}</td><td class="fill">{meter(stage.madds / most)}</td>'
        f'<td class="num">{text(stage.field)}</td><td class="num">{number(stage.activation_bytes)}</td></tr>'
        for stage in page.stages
    )
    sums = [
        number(sum(getattr(stage, what) for stage in page.stages))
        for what in ("parameters", "madds", "activation_bytes")
    ]
    foot = (
        f'<tfoot><tr><th scope="row">all</th><td></td><td class="num">{sums[0]}</td><td class="num">{sums[1]}</td>'
        f'<td class="fill"></td><td></td><td class="num">{sums[2]}</td></tr></tfoot>'
    )
    remarks = "".join(f"<li>{text(remark)}</li>" for remark in page.remarks)
    return (
        f'<div class="wide"><table class="derived"><thead><tr><th scope="col">Stage</th>{cells}</tr></thead>'
        f'<tbody>{rows}</tbody>{foot}</table></div><ul class="remarks">{remarks}</ul>'
    )
