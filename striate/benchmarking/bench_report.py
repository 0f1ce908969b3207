"""The page of a benchmark: the verdict, the table, score against cost with the front, and score against time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from striate.benchmarking.budget import RATES
from striate.benchmarking.energy import ABSENT
from striate.benchmarking.latency import BATCHES, CONDITIONS, ROUNDS, WARM_UPS
from striate.benchmarking.outcome import Group, NetResult, Outcome, cost_of
from striate.sections import (
    Axis,
    Bar,
    Bars,
    Block,
    Bubble,
    Bubbles,
    Column,
    Dot,
    Fact,
    Grid,
    Headline,
    Intervals,
    Line,
    Lines,
    Listing,
    Report,
    Section,
    Step,
    Table,
    Text,
)
from striate.sections.charts import Tone
from striate.sections.wording import DASH, Format, counted, formatted, number, quantity, seconds

TONES: tuple[Tone, ...] = ("t0", "t1", "t2", "t3", "t4", "t5")
COSTS = {"madds": "multiply-adds of one image", "latency": "milliseconds, one image at a time"}


def benchmark_report(found: Outcome) -> Report:
    """The page."""
    form: Format = "percent" if found.metric.share else "digits"
    fronts = (_fronts(group, form, found) for group in found.groups)
    sections = (
        _scores(found, form), _costs(found), *fronts, _bars(found, form), _latency(found), _training(found, form),
    )  # fmt: skip
    return Report(
        found.title,
        f"{found.metric.name[:1].upper()}{found.metric.name[1:]} on {number(found.counts['test'])} test images, "
        f"{counted(found.seeds, 'seed')}",
        Headline("Result", _headline(found), _explained(found, form)),
        _steps(found),
        _facts(found),
        sections,
    )


def _headline(found: Outcome) -> str:
    group = found.groups[0]
    if group.ranking is None or len(group.whole) < 2:
        return "No comparison"
    if group.ranking.winner is None:
        return "Cannot be told apart"
    return f"{group.whole[group.ranking.winner].label} is best"


def _explained(found: Outcome, form: Format) -> tuple[Block, ...]:
    blocks: list[Block] = [Text(found.verdict(), "large")]
    for group in found.groups:
        if group.ranking is None:
            continue
        best = group.whole[group.ranking.order[0]]
        rows = []
        for place, one in group.ranking.differences.items():
            said = "beyond chance" if one.apart else "within chance"
            span = f"{formatted(one.mean, form)} ({_range((one.low, one.high), form)})"
            rows.append(f"{best.label} less {group.whole[place].label}: {span}, {said}")
        if rows:
            blocks.append(Listing("Differences, by paired bootstrap over images and seeds", rows))
    blocks.append(
        Text(
            f"Each net has the same budget on each seed, {found.budget}, for the same three learning rates; validation "
            "images chose the rate, test images scored the chosen model once.",
            "quiet",
        )
    )
    return tuple(blocks)


def _steps(found: Outcome) -> tuple[Step, ...]:
    steps: list[Step] = []
    if any(group.ranking is not None and group.ranking.tied for group in found.groups):
        steps.append(
            Step("scores", "More test images or seeds", "would narrow the intervals of nets that cannot be told apart.")
        )
    if any(one.failed for one in found.results):
        steps.append(Step("training", "A net did not train", "No learning rate led to a finite loss on some seed."))
    if _busy(found.results):
        steps.append(Step("latency", "The machine was busy", "Latency was measured twice, and is uncertain."))
    steps.append(Step("costs", "What each net costs", "Of nets that cannot be told apart, the cheaper one is better."))
    return tuple(steps)


def _facts(found: Outcome) -> tuple[Fact, ...]:
    counts = ", ".join(f"{number(count)} {part}" for part, count in found.counts.items())
    return (
        Fact("budget", str(found.budget), "for each net and seed, all learning rates together"),
        Fact("images", counts),
        Fact("training", seconds(sum(one.seconds * len(one.seeds) for one in found.results)), "all nets and seeds"),
        Fact("to repeat", f"--budget {found.budget.option}", f"--seeds {found.seeds}"),
    )


def _scores(found: Outcome, form: Format) -> Section:
    """Each net's score with its interval, and each seed's."""
    ordered = sorted(found.results, key=lambda one: _rank(one, found))
    dots = tuple(
        Dot(one.label, one.score, one.interval, "over the seeds", TONES[place % len(TONES)])
        for place, one in enumerate(ordered)
    )
    rows = [
        (
            one.label,
            formatted(one.score, form),
            _range(one.interval, form),
            _range((min(one.scores), max(one.scores)), form),
            ", ".join(formatted(score, form) for score in one.scores),
        )
        for one in ordered
    ]
    columns = (Column("net"), Column(found.metric.name), Column("95 % interval"), Column("range over seeds"),
               Column("each seed", optional=True))  # fmt: skip
    return Section(
        "scores", "Scores", (Grid((Intervals("", dots, form),)), Table(columns, rows)),
        "The mean over the seeds. The interval is that of so many test images, the range that of the seeds.",
    )  # fmt: skip


def _rank(one: NetResult, found: Outcome) -> float:
    if not math.isfinite(one.score):
        return math.inf
    return -one.score if found.metric.share else one.score


def _costs(found: Outcome) -> Section:
    columns = (
        Column("net"), Column("parameters"), Column("multiply-adds"), Column("activations"), Column("kept, an image"),
        Column("model file"), Column("peak memory"), Column("training, a seed"), Column("epochs", optional=True),
    )  # fmt: skip
    rows = [
        (
            one.label,
            _large(one.costs.parameters),
            _large(one.costs.madds),
            _large(one.costs.activations),
            _bytes(one.costs.activation_bytes),
            _bytes(one.costs.file_bytes),
            _bytes(one.costs.peak_bytes),
            seconds(one.seconds),
            f"{len(one.seeds[0].tries)} x {one.epochs}",
        )
        for one in found.results
    ]
    notes = [
        "Activations: elements of the outputs of convolutions and linear layers, one image. Kept: activation memory of "
        "one image in training. Peak memory: of a process of its own that loads the model and runs 16 images, besides "
        "that of the empty process."
    ]
    absent = [f"{one.label}: {one.costs.peak_absent}" for one in found.results if one.costs.peak_absent]
    notes += [f"Peak memory is not known of {line}." for line in absent]
    energy = [(one.label, one.joules) for one in found.results if one.joules is not None]
    blocks: list[Block] = [Table(columns, rows), *(Text(note, "quiet") for note in notes)]
    if energy:
        said = ", ".join(f"{label} {quantity(joules / 1000)} kJ" for label, joules in energy)
        blocks.append(Text(f"Energy of the processor for the trainings of a seed: {said}.", "quiet"))
    else:
        blocks.append(Text(f"{ABSENT[0].upper()}{ABSENT[1:]}.", "quiet"))
    return Section("costs", "Costs", tuple(blocks))


def _fronts(group: Group, form: Format, found: Outcome) -> Section:
    started = group.results[0].pretrained
    blocks: list[Block] = [_front(group, cost, form, found.seeds) for cost in COSTS]
    columns = (Column("on the front"), *(Column(f"by {label}") for label in COSTS.values()))
    times = {cost: group.on_front(cost) for cost in COSTS}
    rows = [
        (one.label, *(f"in {times[cost][one.label]} of {found.seeds} seeds" for cost in COSTS)) for one in group.whole
    ]
    blocks.append(Table(columns, rows))
    lead = "Vertical lines are the range over the seeds. On the front: no other net is both cheaper and better."
    return Section(
        "pretrained-front" if started else "front", "Pretrained nets: score and cost" if started else "Score and cost",
        tuple(blocks), lead,
    )  # fmt: skip


def _front(group: Group, cost: str, form: Format, seeds: int) -> Block:
    times = group.on_front(cost)
    scale = 1.0 if cost == "madds" else 1000.0
    whole = group.whole
    bubbles = tuple(
        Bubble(
            one.label,
            scale * cost_of(one, cost),
            one.score,
            float(one.costs.parameters),
            (min(one.scores), max(one.scores)),
            f"{_large(one.costs.parameters)} parameters",
            TONES[place % len(TONES)],
        )
        for place, one in enumerate(whole)
    )
    majority = [(scale * cost_of(one, cost), one.score) for one in whole if 2 * times[one.label] > seeds]
    title = f"{group.metric.name[:1].upper()}{group.metric.name[1:]} by {COSTS[cost]}"
    return Bubbles(
        title, bubbles, Axis(COSTS[cost], log=True),
        Axis("", form), front=tuple(majority), size_name="parameters",
    )  # fmt: skip


def _bars(found: Outcome, form: Format) -> Section:
    """Score of each net as bars, the best first."""
    ordered = sorted((one for one in found.results if not one.failed), key=lambda one: _rank(one, found))
    if found.metric.share:
        rows = [(one.label, Bar(one.score, one.interval), formatted(one.score, form)) for one in ordered]
        block: Block = Table((Column("net"), Column(""), Column(found.metric.name)), rows)
    else:
        block = Bars(tuple((one.label, one.score) for one in ordered), form)
    return Section("bars", "In order", (block,))


def _busy(results: Sequence[NetResult]) -> bool:
    return any(latency.busy for one in results for latency in one.latency.values())


def _latency(found: Outcome) -> Section:
    heads = [f"batch {batch}, {what}" for batch in BATCHES for what in ("median", "10-90 %")]
    columns = (Column("net"), *map(Column, heads), Column("images a second", optional=True))
    rows = []
    for one in found.results:
        cells: list[str] = [one.label]
        for batch in BATCHES:
            known = one.latency[batch]
            cells += [f"{quantity(1000 * known.median)} ms",
                      f"{quantity(1000 * known.low)} to {quantity(1000 * known.high)}"]  # fmt: skip
        cells.append(quantity(BATCHES[-1] / one.latency[BATCHES[-1]].median))
        rows.append(tuple(cells))
    said = (
        "The machine was busy with other work during both measurements; these are the calmer ones."
        if _busy(found.results)
        else "No other work disturbed it: this process computed for over nine tenths of the time that passed."
    )
    conditions = f"By {CONDITIONS}; {WARM_UPS} warm-ups, then {ROUNDS} rounds in which all nets run in turn."
    return Section("latency", "Latency", (Table(columns, rows), Text(said, "quiet")), conditions)


def _training(found: Outcome, form: Format) -> Section:
    """Validation score against seconds, of the chosen try on the first seed; and every try."""
    lines, key = [], []
    for place, one in enumerate(found.results[: len(TONES)]):
        first = one.seeds[0]
        if first.chosen is not None:
            curve = first.tries[first.chosen].curve
            lines.append(Line([x for x, _ in curve], [y for _, y in curve], TONES[place]))
            key.append(f"{place + 1}: {one.label}")
    blocks: list[Block] = []
    if lines:
        title = f"Validation {found.metric.name} by seconds of training, seed 0, the chosen learning rate"
        blocks.append(Lines(title, tuple(lines), Axis("seconds", "digits"), Axis(form=form)))
        blocks.append(Text("In the order of the colours: " + ", ".join(key) + ".", "quiet"))
    heads = [f"{times:g} x the recipe's" for times in RATES]
    columns = (Column("net, seed"), *map(Column, heads), Column("chosen"))
    rows = []
    for one in found.results:
        for seed in one.seeds:
            tries = [DASH if each.score is None else formatted(each.score, form) for each in seed.tries]
            chosen = DASH if seed.chosen is None else f"{seed.tries[seed.chosen].lr:.3g}"
            rows.append((f"{one.label}, {seed.seed}", *tries, chosen))
    blocks.append(Table(columns, rows, ("training", "trainings")))
    failed = [f"{one.label}, seed {seed.seed}, learning rate {each.lr:.3g}: {each.error}"
              for one in found.results for seed in one.seeds for each in seed.tries if each.error]  # fmt: skip
    if failed:
        blocks.append(Listing(f"{counted(len(failed), 'training')} failed", failed))
    return Section("training", "Training", tuple(blocks), "Scores of each learning rate on validation images.")


def _range(interval: tuple[float, float] | None, form: Format) -> str:
    if interval is None or not all(map(math.isfinite, interval)):
        return DASH
    return f"{formatted(interval[0], form)} to {formatted(interval[1], form)}"


def _large(value: float) -> str:
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{quantity(value / unit)} {name}"
    return number(round(value))


def _bytes(value: int | None) -> str:
    if value is None:
        return DASH
    return f"{quantity(value / 1e6)} MB" if value >= 1e5 else f"{quantity(value / 1e3)} kB"
