"""A process with feedback is drawn with every box and name, and closed by an arrow back."""

from __future__ import annotations

import pytest
from pages import Strict, report_of

from striate.report.page import render
from striate.sections import Axis, Box, Feedback, Line, Lines, Section


def drawing(names: tuple[str, ...] = ("samples", "accuracy 91 %", "back")) -> Feedback:
    boxes = (Box("Controller", "<PPO>"), Box("Trainer"), Box("Reward", "0.9"))
    return Feedback(boxes, names, Box("Counted", "T = 6 M"), "5 M", "a search")


def test_boxes_and_names_stand_on_the_page() -> None:
    page = render(report_of(Section("loop", "Loop", (drawing(),))))
    Strict(page.replace("<svg", "<svg").replace("<path", "<line"))
    for said in ("Controller", "&lt;PPO&gt;", "Trainer", "Reward", "Counted", "T = 6 M", "accuracy 91 %", ">back<"):
        assert said in page
    # As many arrow heads as boxes in the row, and two for the way aside.
    assert page.count('class="tip"') == 5


def test_each_box_has_a_name_for_its_way_on() -> None:
    with pytest.raises(ValueError, match="3 boxes, three at least, need as many names, not 2"):
        drawing(("samples", "accuracy"))


def test_points_of_a_line_chart_are_dots_and_have_a_key() -> None:
    chart = Lines(
        "Accuracy", (Line([1, 3], [0.5, 0.9], "t2"),), Axis("cost"), Axis(form="percent"),
        points=(Line([1, 2, 3], [0.5, 0.4, 0.9], "t0"),), key=(("random", "t0"), ("front", "t2")),
    )  # fmt: skip
    page = render(report_of(Section("front", "Front", (chart,))))
    assert page.count('<circle class="t0"') == 3 and page.count("<polyline") == 1
    assert '<i class="t0"></i>random' in page and '<i class="t2"></i>front' in page
