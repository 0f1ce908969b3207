"""The report of an architecture search: what was found, how, and what it is worth."""

from __future__ import annotations

from striate.jobs.found_architecture import Finalist, FoundArchitecture
from striate.sections import (
    Axis,
    Block,
    Box,
    Column,
    Dot,
    Fact,
    Feedback,
    Headline,
    Intervals,
    Line,
    Lines,
    Preformatted,
    Report,
    Section,
    Step,
    Table,
    Text,
)
from striate.sections.charts import Tone
from striate.sections.wording import counted, number, percent, quantity, seconds
from striate.tuning.architecture.objective import NOISY
from striate.tuning.architecture.search import Study, pareto_front
from striate.tuning.architecture.trial import Trial

TONES: tuple[Tone, ...] = ("t0", "t1", "t3")
CONTROLLERS = {
    "random": "uniform draws",
    "evolution": "regularised evolution",
    "reinforcement": "PPO, a logit per value",
}
NAMES = {"found": "found", "random": "random search", "baseline": "catalogue"}


def architecture_page(done: FoundArchitecture) -> Report:
    """The whole page as sections."""
    found = done.finalists[0]
    headline = Headline(
        f"{found.run.score_name.capitalize()} of the found network, on held-out images",
        percent(found.run.score),
        (Text(_verdict(done)),),
    )
    steps = (
        Step("finalists", "Is the search worth it?", "The found network beside random search and the catalogue."),
        Step("network", "The found network", "Its table, and how to train it again."),
    )
    sections = (_overview(done), _tradeoff(done), _progress(done), _finalists(done), _network(done), _trials(done))
    lead = f"{done.space.name} space of {quantity(float(done.space.size))} networks, on {done.data}"
    return Report("Architecture search", lead, headline, steps, _facts(done), sections)


def _verdict(done: FoundArchitecture) -> str:
    """What the held-out images say; no more than their intervals allow."""
    found, *others = done.finalists
    said = []
    for other in others:
        name = "the best random network" if other.name == "random" else other.run.net
        low, high = found.run.interval or (0.0, 1.0)
        other_low, other_high = other.run.interval or (0.0, 1.0)
        if low > other_high:
            said.append(f"It is better than {name} ({percent(other.run.score)}).")
        elif high < other_low:
            said.append(f"It is worse than {name} ({percent(other.run.score)}).")
        else:
            said.append(f"It and {name} ({percent(other.run.score)}) are too close to call.")
    return " ".join(said)


def _facts(done: FoundArchitecture) -> tuple[Fact, ...]:
    settings, best = done.settings, done.best
    return (
        Fact("Trials", number(sum(len(study.trials) for study in done.studies)), _failures(done)),
        Fact("A trial", counted(int(settings["epochs"]), "epoch"),
             f"{number(int(settings['training']))} training and {number(int(settings['validation']))} validation "
             f"images of {done.space.side} pixels"),
        Fact("Target", _cost(done, done.objective.target), f"exponent {done.objective.exponent:g}"),
        Fact("Found network", f"{number(best.parameters)} parameters", f"{number(best.madds)} multiply-adds"),
        Fact("Training time", seconds(sum(trial.seconds for study in done.studies for trial in study.trials))),
    )  # fmt: skip


def _failures(done: FoundArchitecture) -> str:
    failed = sum(len(study.trials) - len(study.succeeded) for study in done.studies)
    return f"{number(failed)} failed" if failed else "none failed"


def _cost(done: FoundArchitecture, cost: float) -> str:
    return seconds(cost) if done.objective.cost == "latency" and cost >= 0.1 else (
        f"{1000 * cost:.2f} ms" if done.objective.cost == "latency" else f"{quantity(cost / 1e6)} M"
    )  # fmt: skip


def _cost_name(done: FoundArchitecture) -> str:
    return "latency, ms" if done.objective.cost == "latency" else "multiply-adds, M"


def _in_units(done: FoundArchitecture, cost: float) -> float:
    return cost * 1000 if done.objective.cost == "latency" else cost / 1e6


def _overview(done: FoundArchitecture) -> Section:
    study, best = done.studies[0], done.best
    measured = "latency" if done.objective.cost == "latency" else "multiply-adds"
    drawing = Feedback(
        (
            Box("Controller", CONTROLLERS[study.sampler]),
            Box("Sampled network", f"the best of {len(study.trials)}"),
            Box("Trainer", counted(int(done.settings["epochs"]), "epoch")),
            Box("Reward", f"{best.reward:.3f}"),
        ),
        ("samples", "trains", f"accuracy {percent(best.accuracy)}", "the reward updates the controller"),
        Box("This machine" if measured == "latency" else "Counted", f"T = {_cost(done, done.objective.target)}"),
        f"{measured} {_cost(done, best.cost)}",
        f"Controller, sampled network, trainer and {measured}, reward, and back to the controller",
    )
    formula = f"reward = accuracy x ({measured} / T) ^ {done.objective.exponent:g}"
    lead = "As MnasNet's Figure 1, with the figures of the best trial of this search."
    return Section("overview", "The search", (drawing, Text(formula, "quiet")), lead)


def _tradeoff(done: FoundArchitecture) -> Section:
    every = tuple(trial for study in done.studies for trial in study.succeeded)
    front = pareto_front(every)
    points = tuple(_line(done, study.succeeded, tone) for study, tone in zip(done.studies, TONES, strict=False))
    names = tuple((study.sampler, tone) for study, tone in zip(done.studies, TONES, strict=False))
    chart = Lines(
        "Validation accuracy", (_line(done, tuple(front), "t2"),), Axis(_cost_name(done), "digits"),
        Axis(form="percent"), points=points, key=(*names, ("Pareto front", "t2")),
        label=f"{len(every)} networks, accuracy against {_cost_name(done)}",
    )  # fmt: skip
    rows = [
        (_cost(done, trial.cost), percent(trial.accuracy), f"{trial.reward:.3f}", number(trial.parameters))
        for trial in front
    ]
    columns = (Column(_cost_name(done)), Column("accuracy"), Column("reward"), Column("parameters", optional=True))
    lead = "Each dot is a trained network; on the front, no other is both cheaper and more accurate."
    return Section("tradeoff", "Accuracy and cost", (chart, Table(columns, rows, ("network", "networks"))), lead)


def _line(done: FoundArchitecture, trials: tuple[Trial, ...], tone: Tone) -> Line:
    return Line([_in_units(done, one.cost) for one in trials], [one.accuracy for one in trials], tone)


def _progress(done: FoundArchitecture) -> Section:
    lines = tuple(
        Line(range(1, len(study.trials) + 1), study.best_so_far(), tone)
        for study, tone in zip(done.studies, TONES, strict=False)
    )
    names = tuple((study.sampler, tone) for study, tone in zip(done.studies, TONES, strict=False))
    chart = Lines("Best reward so far", lines, Axis("trial"), Axis(form="loss"), key=names)
    note = (
        "One search of one seed: a difference between the samplers may be chance. Each reward is of one short "
        "training, and would differ with another seed."
    )
    return Section("progress", "Best so far", (chart, Text(note, "quiet")), "At an equal number of trials.")


def _finalists(done: FoundArchitecture) -> Section:
    dots = tuple(
        Dot(NAMES[one.name], one.run.score, one.run.interval, one.run.net, tone)
        for one, tone in zip(done.finalists, TONES, strict=False)
    )
    columns = (Column("network"), Column("accuracy"), Column("95 % interval"), Column("multiply-adds"),
               Column("parameters"))  # fmt: skip
    rows = [_finalist(one) for one in done.finalists]
    images = number(done.finalists[0].run.images)
    lead = (
        f"Each trained for {done.settings['final_epochs']} epochs on the whole training part, and evaluated once on "
        f"{images} held-out images, which the search did not use."
    )
    blocks: list[Block] = [Intervals("Accuracy", dots, "percent"), Table(columns, rows, ("network", "networks"))]
    if len(done.studies) > 1 and not any(one.name == "random" for one in done.finalists):
        blocks.append(Text("Random search found the same network.", "quiet"))
    return Section("finalists", "Held-out images", tuple(blocks), lead)


def _finalist(one: Finalist) -> tuple[str, ...]:
    low, high = one.run.interval or (float("nan"), float("nan"))
    name = f"{NAMES[one.name]}: {one.run.net}"
    return name, percent(one.run.score), f"{percent(low)} to {percent(high)}", number(one.madds), number(one.parameters)


def _network(done: FoundArchitecture) -> Section:
    table = str(done.options["table"])
    rest = ", ".join(f"{name} = {value}" for name, value in done.options.items() if name != "table")
    lines = table.splitlines()
    columns = tuple(Column(name) for name in lines[0].split())
    rows = [tuple(line.split()) for line in lines[1:]]
    how = "striate train DATA --net found.toml trains it again; striate show found.toml shows every layer."
    blocks = (Table(columns, rows), Preformatted("As text", table), Text(f"{done.space.net}, {rest}. {how}", "quiet"))
    return Section("network", "The found network", blocks)


def _trials(done: FoundArchitecture) -> Section:
    columns = (Column("trial"), Column("reward"), Column("accuracy"), Column(_cost_name(done)), Column("seconds"))
    blocks: list[Table | Text] = []
    for study in done.studies:
        blocks.append(Text(study.sampler, "large"))
        blocks.append(Table(columns, [_row(done, place, trial) for place, trial in _ranked(study)], shown=8))
    if noisy := [one for study in done.studies for one in study.trials if (one.spread or 0) > NOISY]:
        said = counted(len(noisy), "latency", "latencies")
        blocks.append(Text(f"{said} with a spread above 10 % of the median: the machine was busy."))
    return Section("trials", "Trials", tuple(blocks), "By reward; the number is the order in which they were tried.")


def _ranked(study: Study) -> list[tuple[int, Trial]]:
    return sorted(enumerate(study.trials, start=1), key=lambda one: (-one[1].reward, one[0]))


def _row(done: FoundArchitecture, place: int, trial: Trial) -> tuple[str, ...]:
    if trial.failed:
        return str(place), "failed", trial.failed[:60], "", f"{trial.seconds:.1f}"
    cost = _cost(done, trial.cost)
    return str(place), f"{trial.reward:.3f}", percent(trial.accuracy), cost, f"{trial.seconds:.1f}"
