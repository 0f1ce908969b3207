"""The report: says everything, loads nothing, and believes no name it is given."""

from __future__ import annotations

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
from pages import Strict, picture
from PIL import Image
from striate.report.run.content import Example, Finding, RunReport, Seen
from striate.report.run.page import render

from striate.report.charts import learning_curves
from striate.report.thumbnails import data_uri
from striate.report.wording import percent, seconds, text


def wilson(share: float, total: int) -> tuple[float, float]:
    z = 1.959964
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    reach = z / (1 + z * z / total) * (share * (1 - share) / total + z * z / (4 * total * total)) ** 0.5
    return middle - reach, middle + reach


def report(confusion: list[list[int]] | np.ndarray, classes: tuple[str, ...] = ("ants", "bees"), **more) -> RunReport:
    matrix = np.asarray(confusion)
    correct, total = int(np.trace(matrix)), int(matrix.sum())
    share = correct / total if total else float("nan")
    fields = {
        "title": "Ants or bees",
        "data": "hymenoptera",
        "net": "lite0",
        "strategy": "A linear head",
        "why": "few images, so the features stay as they are",
        "images": {"train": 244, "val": total},
        "held_out": "val",
        "interval": wilson(share, total) if total else (0.0, 1.0),
        "balanced_accuracy": share,
    }
    return RunReport(
        classes=classes, confusion=matrix, correct=correct, total=total, accuracy=share, **{**fields, **more}
    )


def typical() -> RunReport:
    return report(
        [[66, 4], [2, 81]],
        mistakes=tuple(Example(f"val/ants/{i}.jpg", picture(seed=i), "ants", "bees", 0.98 - i / 20) for i in range(6)),
        seen=tuple(Seen(f"train/bees/{i}.jpg", picture(seed=i), "bees") for i in range(8)),
        findings=(Finding("unreadable", 1, "set aside", "The file ends too early.", ("train/ants/broken.jpg",)),),
        set_aside=(("train/ants/broken.jpg", "unreadable: truncated"),),
        curve=tuple({"epoch": i + 1, "loss": 1 / (i + 1), "accuracy": 0.9 + i / 200} for i in range(10)),
        timings=(("audit", 1.9), ("features", 75.0)),
        engine="OpenVINO 2026.4, float32",
        recipe='[training]\nseed = 7\nnote = "<b>"\n',
        versions={"numpy": "2.4.0"},
        notes=("bfloat16 was not used.",),
    )


def test_every_part_is_there() -> None:
    page = render(typical())
    for said in (
        "Ants or bees",
        "hymenoptera",
        "96.1&nbsp;%",
        "147 of 153 images",
        "Wilson",
        "few images, so the features stay",
        "lite0",
        "OpenVINO 2026.4, float32",
        "<b>ants</b> taken for <b>bees</b>, 98.0&nbsp;% sure",
        "4 of 70, 5.7&nbsp;%",
        "always answering <b>bees</b>: 54.2&nbsp;%",
        "The file ends too early.",
        "train/ants/broken.jpg",
        "unreadable: truncated",
        "by epoch",
        "1&nbsp;min 15&nbsp;s",
        "seed = 7\nnote = &quot;&lt;b&gt;&quot;",
        "numpy 2.4.0",
        "bfloat16 was not used.",
    ):
        assert said in page, said
    # Six mistakes, once in their section and once behind the matrix, and eight images as seen.
    assert page.count("data:image/jpeg;base64,") == 20


def test_links_lead_somewhere_and_nothing_is_loaded() -> None:
    page = render(typical())
    assert len(page.encode()) < 1_000_000
    parsed = Strict(page)
    anchors = {f"#{name}" for name in parsed.values("id")}
    assert parsed.values("href")
    assert set(parsed.values("href")) <= anchors
    assert all(source.startswith("data:image/jpeg;base64,") for source in parsed.values("src"))
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in parsed.tags}
    assert not re.search(r"url\(|@import|https?://", page)
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ('"><img src=x onerror=y>', "&quot;&gt;&lt;img src=x onerror=y&gt;"),
        ("two\nlines", "two\\nlines"),
        (b"caf\xe9.jpg".decode("utf-8", "surrogateescape"), "caf\\xe9.jpg"),
        ("lone\ud800", "lone\\ud800"),
        ("txt\u202egpj.exe", "txt\\u202egpj.exe"),
        ("nul\0", "nul\\x00"),
    ],
)
def test_hostile_names_are_shown_and_never_obeyed(name: str, shown: str) -> None:
    content = report(
        [[3, 2], [1, 4]],
        (name, "bees"),
        **dict.fromkeys(("title", "data", "net", "strategy", "why", "held_out", "engine", "recipe"), name),
        images={name: 3},
        mistakes=(Example(name, picture(8, 8), name, "bees", 0.95),),
        seen=(Seen(name, picture(8, 8), name),),
        findings=(Finding(name, 2, name, name, (name,)),),
        set_aside=((name, name),),
        timings=((name, 1.0),),
        versions={name: name},
        notes=(name,),
    )
    page = render(content)
    page.encode("utf-8")
    assert page.count(shown) > 20
    parsed = Strict(page)
    assert "script" not in {tag for tag, _ in parsed.tags}
    assert len(parsed.values("src")) == 3
    # A recipe keeps its lines; everywhere else a name stays on one.
    assert name not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)


def test_names_of_every_language_are_left_alone() -> None:
    for name in ("Größe", "می‌خواهم", "蜂", "👩‍🌾"):
        assert text(name) == name


def test_empty_states_are_said_in_words() -> None:
    perfect = render(report([[5, 0], [0, 5]]))
    assert "No mistakes on the held-out images." in perfect
    assert "No two classes were mixed up." in perfect
    assert "No files were set aside." in perfect
    assert "found nothing unusual" in perfect
    assert "no learning curve" in perfect
    unmeasured = render(report([[0, 0], [0, 0]]))
    assert "Not measured" in unmeasured
    assert "nan" not in unmeasured.lower()
    for page in (perfect, unmeasured):
        Strict(page)


def test_advice_follows_the_result() -> None:
    assert "Not yet better than guessing" in render(report([[50, 0], [45, 5]]))
    assert "Not yet better than guessing" not in render(typical())
    assert "Check the labels of 2 confident mistakes" in render(typical())
    assert "Hold out more images" in render(report([[5, 1], [1, 5]], interval=(0.55, 0.95)))
    assert "Weakest class: ants" in render(report([[30, 20], [1, 99]]))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 21, 1000, 3000])
def test_any_number_of_classes(count: int) -> None:
    matrix = np.eye(count, dtype=np.int64) * 40
    for place in range(count - 1):
        matrix[place, place + 1] = 10
    names = tuple(f"Latin species name {place}" for place in range(count))
    page = render(report(matrix, names))
    assert len(page.encode()) < 1_000_000
    Strict(page)
    cells = re.findall(r'<td class="(?:hit|miss|nil)"', page)
    side = min(count, 20)
    assert len(cells) == side * (side + (count > 20))
    assert ("The 20 most confused of" in page) == (count > 20)


def test_of_many_classes_the_mixed_up_ones_are_shown() -> None:
    matrix = np.eye(500, dtype=np.int64) * 20
    matrix[400, 17] = 9
    content = report(matrix, tuple(f"c{place}" for place in range(500)))
    assert content.confusable_classes(20)[:2] == (400, 17)
    assert len(set(content.confusable_classes(20))) == 20
    assert 'title="c400"' in render(content)
    first = content.most_confused(3)
    assert [(pair.truth, pair.predicted, pair.count, pair.of) for pair in first] == [("c400", "c17", 9, 29)]


def test_long_lists_are_cut_and_say_so() -> None:
    files = tuple((f"train/{place}.jpg", "unreadable") for place in range(20_000))
    page = render(report([[5, 1], [1, 5]], set_aside=files))
    assert len(page) < 200_000
    assert "and 19&#8239;500 more" in page


def test_class_scores_come_from_the_matrix() -> None:
    ants, bees, wasps = report([[6, 4, 0], [1, 9, 0], [0, 0, 0]], ("ants", "bees", "wasps")).per_class
    assert (ants.count, ants.recall, ants.precision) == (10, 0.6, 6 / 7)
    assert (bees.recall, bees.precision) == (0.9, 9 / 13)
    assert (wasps.count, wasps.recall, wasps.precision) == (0, None, None)


def test_a_headline_that_contradicts_its_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="counts 9 of 10 correct; the report says 8 of 10"):
        dataclasses.replace(report([[5, 0], [1, 4]]), correct=8)
    with pytest.raises(ValueError, match=r"shape \(2, 2\); 3 classes need \(3, 3\)"):
        report([[5, 0], [1, 4]], ("a", "b", "c"))


@pytest.mark.parametrize("shape", [(300, 200, 3), (28, 28), (1, 4000, 3), (112, 50)])
def test_thumbnails_are_small_jpegs_never_enlarged(shape: tuple[int, ...]) -> None:
    address = data_uri(np.zeros(shape, np.uint8))
    picture = Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/jpeg;base64,"))))
    assert picture.format == "JPEG"
    assert max(picture.size) == min(112, max(shape[:2]))
    assert picture.mode == ("L" if len(shape) == 2 else "RGB")


@pytest.mark.parametrize("image", [np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8)), np.zeros((0, 8), np.uint8)])
def test_other_arrays_are_refused_by_name(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=re.escape(str(image.shape))):
        data_uri(image)


def test_curves_bear_gaps_and_single_epochs() -> None:
    assert learning_curves(()) == ""
    assert learning_curves(({"epoch": 1},)) == ""
    assert learning_curves(({"epoch": 1, "loss": float("nan")},)) == ""
    one = learning_curves(({"epoch": 1, "loss": 2.3},))
    assert "nan" not in one
    assert one.count("<svg") == 1
    flat = learning_curves(tuple({"epoch": i, "accuracy": 1.0, "loss": float("inf") if i else 0.5} for i in range(4)))
    assert flat.count("<svg") == 2
    assert "105" not in flat
    assert "inf" not in flat


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.9608, "96.1 %"), (1.0, "100.0 %"), (0.99999, "> 99.9 %"), (0.00001, "< 0.1 %"), (0, "0.0 %"), (None, "–")],
)
def test_percentages_never_round_up_to_perfect(share: float | None, said: str) -> None:
    plain = percent(share).replace("&nbsp;", " ").replace("&gt;", ">").replace("&lt;", "<").replace("&ndash;", "–")
    assert plain == said


@pytest.mark.parametrize(
    ("duration", "said"),
    [
        (0.041, "0.04 s"),
        (1.64, "1.6 s"),
        (9.97, "10 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (4800, "1 h 20 min"),
    ],
)
def test_durations_are_said_plainly(duration: float, said: str) -> None:
    assert seconds(duration).replace("&nbsp;", " ") == said
