"""The learning-rate schedules drawn: of a recipe, or all of them with their defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from striate.jobs.outputs import require_file
from striate.recipe import Recipe
from striate.recipe.schedules import SCHEDULES
from striate.report.page import render
from striate.sections import Axis, Headline, Line, Lines, Report, Section, Text
from striate.storage import write_text
from striate.training.schedule import Schedule

EPOCHS, STEPS = 100, 50  # of a run that sets no epochs; steps of an epoch that are drawn
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Drawn:
    """name, title: of the schedule. rates: the learning rate of each step; epochs: how many they are spread over."""

    name: str
    title: str
    epochs: int
    rates: tuple[float, ...]

    def bars(self, columns: int = 60) -> str:
        """The rates as a row of bars, the mean of each column's steps."""
        top, width = max(self.rates), len(self.rates) / columns
        means = []
        for column in range(columns):
            some = self.rates[round(column * width) : round((column + 1) * width)]
            means.append(sum(some) / len(some))
        return "".join(BARS[min(7, int(8 * mean / top))] for mean in means)


def drawn_schedules(recipe: Recipe | None = None, *, html: str | os.PathLike[str] | None = None) -> list[Drawn]:
    """The schedule of a recipe, or every schedule with its defaults; `html`: a page to write.

    A plateau is drawn as it is without a drop, because its drops depend on the scores.
    """
    recipes = [recipe] if recipe else [Recipe().updated({"schedule.name": name}) for name in SCHEDULES]
    drawn = [_drawn(one) for one in recipes]
    if html is not None:
        require_file(Path(html))
        write_text(Path(html), render(_page(drawn)))
    return drawn


def _drawn(recipe: Recipe) -> Drawn:
    epochs = recipe.train.epochs or EPOCHS
    schedule = Schedule(recipe, epochs, STEPS)
    rates = tuple(schedule.rate(step) for step in range(epochs * STEPS))
    title = (type(recipe.schedule).__doc__ or "").strip().splitlines()[0]
    return Drawn(recipe.schedule.name, title, epochs, rates)


def _page(drawn: list[Drawn]) -> Report:
    sections = []
    for one in drawn:
        epochs = [step / STEPS for step in range(len(one.rates))]
        axis = Axis("epoch", range=(0.0, float(one.epochs)))
        chart = Lines(
            "Learning rate", (Line(epochs, one.rates),), axis, Axis(form="digits", range=(0.0, max(one.rates)))
        )
        sections.append(Section(one.name, one.name, (Text(one.title), chart)))
    names = ", ".join(one.name for one in drawn)
    headline = Headline("Learning-rate schedules", str(len(drawn)), (Text(names),))
    return Report("Schedules", "The learning rate of every step", headline, (), (), tuple(sections))
