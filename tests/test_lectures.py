"""Every row of the lectures has a command and a test, or says when it comes or why it does not."""

from __future__ import annotations

from named_tests import ROOT, missing, named_in, rendered_by, rows, wrong_in_door

ITEMS = rows("lectures")
# The rows of each part: A1 to A14, B1 to B18 and so on.
LAST = {"A": 14, "B": 18, "C": 11, "D": 8, "E": 16, "F": 12, "G": 60, "H": 14, "I": 9, "J": 7, "K": 21, "L": 22}
LAST |= {"M": 12, "N": 10, "O": 8, "P": 14, "Q": 11, "R": 5, "S": 8}
IDS = [f"{part}{number}" for part, last in LAST.items() for number in range(1, last + 1)]
# What later work is called.
LATER = {
    "applications",
    "inspecting nets, benchmarks and teaching pages",
    "interchange",
    "studies",
    "more networks",
    "training methods, transfer and tuning",
    "weights, int8 and speed",
}


def test_every_row_is_there_once_and_in_order() -> None:
    assert [item["id"] for item in ITEMS] == IDS


def test_a_row_has_a_door_with_tests_or_says_when_or_why_not() -> None:
    for item in ITEMS:
        kinds = [{"id", "title", "door", "test"}, {"id", "title", "later"}, {"id", "title", "missing"}]
        assert set(item) in kinds, item["id"]
        assert all(item.values()), item["id"]
        assert item.get("later") in {None, *LATER}, item["id"]
        assert "missing" not in item or len(item["missing"]) > 20, item["id"]


def test_every_test_named_exists_and_can_run() -> None:
    wrong = [f"{item['id']} {item['title']}\n    {line}" for item in ITEMS for line in missing(named_in(item))]
    assert not wrong, "docs/lectures.toml names tests that cannot hold their row:\n" + "\n".join(wrong)


def test_every_door_exists() -> None:
    doors = ((item["id"], item["door"]) for item in ITEMS if "door" in item and "missing" not in item)
    assert [(row, door, wrong) for row, door in doors if (wrong := wrong_in_door(door))] == []


def test_the_page_is_rendered_from_the_rows() -> None:
    text = (ROOT / "docs" / "lectures.md").read_text("utf-8")
    assert text == rendered_by("render_lectures"), "run python docs/render_lectures.py"
