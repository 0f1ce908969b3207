"""The page on dropout: a network with units left out, and the mean over all such networks."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from striate.lessons.dropout import Thinned, mean_output, mean_sigmoid, sigmoid, thinned
from striate.lessons.pages.parts import Page, controls, drawing, rows_table, said, slider, tick

UNITS = (1.0, 0.5, 2.0, 1.5)  # values of the hidden units
WEIGHTS = (0.8, -1.2, 0.5, 0.6)  # from each of them to the output
INPUTS = 3
LEFT_OUT = (2, 4)  # of the drawing
P = 0.5
WIDE, HIGH, RADIUS = 330, 220, 17

STYLE = """
#drawing .edge { stroke: var(--muted); stroke-width: 1.2 } #drawing .unit { fill: var(--card); stroke-width: 1.8 }
#drawing .gone { opacity: .22 } #drawing .cross { stroke: rgb(var(--bad)); stroke-width: 2 }
#drawing text { font-size: 13px; text-anchor: middle }
"""


def page() -> Page:
    """The page."""
    networks = thinned(UNITS, WEIGHTS, P)
    sections = [
        ("left-out", "Units left out", _DRAWING_LEAD, _drawing(networks)),
        ("mean", "The mean over all networks", _MEAN_LEAD, _mean(networks)),
    ]
    data = {"units": UNITS, "weights": WEIGHTS, "inputs": INPUTS}
    lead = "In training, dropout leaves units out at random: each batch trains one of 2ⁿ networks that share weights."
    return Page("Dropout", lead, sections, data, "dropout", STYLE)


_DRAWING_LEAD = (
    f"Four hidden units with their values, each left out with probability p; y is the sum by the weights "
    f"{', '.join(map(said, WEIGHTS))}. What stays is divided by 1 − p, so that the expected output does not change; in "
    "evaluation nothing is left out and nothing is scaled."
)


def _drawing(networks: Sequence[Thinned]) -> str:
    numbers = range(1, len(UNITS) + 1)
    asked = controls(
        slider("p", "p", (0, 0.9, 0.1), P),
        *(tick(f"out{number}", f"unit {number} left out", number in LEFT_OUT) for number in numbers),
    )
    kept = tuple(number for number in numbers if number not in LEFT_OUT)
    (one,) = (network for network in networks if network.kept == kept)
    label = f"A network of {INPUTS} inputs, {len(UNITS)} hidden units and an output"
    view = drawing("drawing", (WIDE, HIGH), label, drawn(LEFT_OUT), "26rem")
    return f'{asked}{view}<p class="said" id="one">{words(one)}</p>'


def words(one: Thinned) -> str:
    """A network in words."""
    return (
        f"{len(one.kept)} of {len(UNITS)} units: one of {2 ** len(UNITS)} networks, with probability "
        f"{said(one.probability, 4)} and output {said(one.output)}."
    )


def drawn(left_out: Collection[int]) -> str:
    """Inputs, hidden units and the output from left to right; what is left out is faint and crossed."""
    left, middle, right = 40, WIDE // 2, WIDE - 40
    inputs = [HIGH * (2 * place + 1) / (2 * INPUTS) for place in range(INPUTS)]
    hidden = [HIGH * (2 * place + 1) / (2 * len(UNITS)) for place in range(len(UNITS))]
    parts = []
    for number, y in enumerate(hidden, 1):
        edges = [(left, start, middle, y) for start in inputs] + [(middle, y, right, HIGH / 2)]
        lines = "".join(f'<line class="edge" x1="{a}" y1="{b:.1f}" x2="{c}" y2="{d:.1f}"/>' for a, b, c, d in edges)
        parts.append(f'<g class="gone">{lines}</g>' if number in left_out else f"<g>{lines}</g>")
    parts += [_unit(left, y, f"x{place}", "t0", False) for place, y in enumerate(inputs, 1)]
    parts += [_unit(middle, y, said(UNITS[at - 1]), "t1", at in left_out) for at, y in enumerate(hidden, 1)]
    parts.append(_unit(right, HIGH / 2, "y", "t2", False))
    return "".join(parts)


def _unit(x: float, y: float, label: str, tone: str, gone: bool) -> str:
    circle = f'<circle class="unit {tone}" cx="{x:.0f}" cy="{y:.1f}" r="{RADIUS}"/>'
    text = f'<text x="{x:.0f}" y="{y + 4.5:.1f}">{label}</text>'
    if not gone:
        return f"<g>{circle}{text}</g>"
    d = RADIUS * 0.7
    cross = "".join(
        f'<line class="cross" x1="{x - d:.1f}" y1="{y - sign * d:.1f}" x2="{x + d:.1f}" y2="{y + sign * d:.1f}"/>'
        for sign in (1, -1)
    )
    return f'<g class="gone">{circle}{text}</g>{cross}'


_MEAN_LEAD = (
    "By the number of units that stay: how many networks, the probability of each, and their mean output. For one "
    "that is linear in the units, the mean over all networks is the output of the whole network: one pass in "
    "evaluation stands for all of them. After a sigmoid it only comes near."
)


def _mean(networks: Sequence[Thinned]) -> str:
    table = rows_table(("units", "networks", "probability", "output"), rows(networks), "sizes")
    return f'{table}<p class="said" id="total">{total(networks)}</p>'


def rows(networks: Sequence[Thinned]) -> list[tuple[str, str, str, str]]:
    """Of the networks with each number of units: how many, the probability of one, and the mean of their outputs."""
    found = []
    for size in range(len(UNITS), -1, -1):
        these = [one for one in networks if len(one.kept) == size]
        mean = sum(one.output for one in these) / len(these)
        found.append((str(size), str(len(these)), said(these[0].probability, 4), said(mean)))
    return found


def total(networks: Sequence[Thinned]) -> str:
    """Both means beside the whole network, in words."""
    whole = sum(weight * unit for weight, unit in zip(WEIGHTS, UNITS, strict=True))
    return (
        f"Mean over the {len(networks)} networks: {said(mean_output(networks))}; the whole network: {said(whole)}. "
        f"After a sigmoid: {said(mean_sigmoid(networks), 4)} and {said(sigmoid(whole), 4)}."
    )
