"""A report of blocks: shows everything, loads nothing, trusts no name, and takes a user's own sections."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from pages import Strict, inspect, names, picture, plain, report_of
from PIL import Image

from striate.report.curves import learning_curves
from striate.report.page import render
from striate.report.thumbnails import data_uri
from striate.report.wording import text
from striate.sections import (
    Axis,
    Bar,
    Bars,
    Block,
    CellPicture,
    Code,
    Column,
    ConfusionMatrix,
    Dot,
    Entry,
    Fact,
    Facts,
    Gallery,
    Grid,
    Heading,
    Headline,
    Histogram,
    Histograms,
    Intervals,
    Line,
    Lines,
    Link,
    Listing,
    Neighbours,
    Picture,
    Preformatted,
    Reliability,
    Scale,
    Scatter,
    Section,
    Step,
    Strip,
    Strong,
    Table,
    Text,
)
from striate.sections.wording import percent, seconds

SMALL = picture(12, 9)


def every_block(name: str) -> tuple[Block, ...]:
    """A block of each kind, with `name` wherever a name may stand."""
    words = (name, Strong(name), Code(name), Link(name, "other-page.html"))
    one = Picture(SMALL, words, name)
    line = Line([1, 2, 3], [0.5, 0.2, 0.1])
    shares = np.array([0.2, 0.9])
    return (
        Text(words), Text(name, "large"), Text(name, "quiet"), Heading(name), Facts((Fact(name, name, name, True),)),
        Table(
            (Column(name), Column(""), Column(name, True)), [(words, Bar(0.5), name)] * 30, (name, name), name
        ),
        Gallery((one, Picture(None, words, name)), noun=name, listed=True), Gallery((one,), 9, name), Strip((one, one)),
        Strip((one, one), words, name, framed=True), Neighbours(one, (one, Picture(None, words, name))),
        Listing(name, [words, name]), Preformatted(name, name),
        Entry(name, 3, name, words, (Listing(name, [words]), Strip((one,)))),
        Grid((Lines(words, (line,), Axis(name), Axis(form="loss"), (1, 2), name, 1.5, name), Text(name))),
        Bars(((name, 1.0), ("b", 2.0)), "seconds"), Scale(0.8, 0.5, name, (0.7, 0.9), name),
        ConfusionMatrix((name, "bees"), np.array([[4, 1], [2, 3]]), (CellPicture(0, 1, one),)),
        ConfusionMatrix((name, "bees"), np.array([[4, 1], [2, 3]]), (CellPicture(0, 1, one),)),
        Reliability(np.array([2, 3]), shares, shares, 0.1), Scatter(words, [1, 2], [2, 1], name, True),
        Histogram(words, [-1, 0, 2], name, name),
        Histograms(words, [1, 2], [3, 4], (name, name), 2.5, name, (name, name)),
        Intervals(words, (Dot(name, 0.5, (0.4, 0.6), name),), "percent", (0.6, (0.5, 0.7)), (name, name)),
    )  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(names)
def test_no_name_is_trusted(name: str) -> None:
    sections = Section("all", name, every_block(name), name), Section("more", name, (), (Strong(name),))
    headline = Headline(name, name, (Text(name), Scale(0.5, 0.2, name)))
    inspect(render(report_of(*sections, steps=(Step("all", name, name),), headline=headline)))


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
    page = render(report_of(Section("all", name, every_block(name), name)))
    page.encode("utf-8")
    assert page.count(shown) > 60
    parsed = Strict(page)
    assert "script" not in {tag for tag, _ in parsed.tags}
    # Preformatted text keeps its lines; everywhere else a name stays on one.
    assert name not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)


def test_links_lead_somewhere_and_nothing_is_loaded() -> None:
    page = render(report_of(Section("all", "All", every_block("ants")), steps=(Step("all", "Look", "why"),)))
    parsed = inspect(page)
    assert {"#all", "#pair-0-1", "#pair2-0-1", "other-page.html"} == set(parsed.values("href"))
    for elsewhere in ("https://a.org/x.html", "../x.html", "x.html#a", "javascript:x", "x"):
        with pytest.raises(ValueError, match="leads to a page beside this one"):
            Link("elsewhere", elsewhere)
    assert not re.search(r"url\(|@import|https?://", page)


def test_a_section_of_ones_own_needs_no_html() -> None:
    own = Section(
        "throughput",
        "Throughput",
        (
            Text(("The engine runs ", Strong("410 images"), " a second.")),
            Table((Column("Batch"), Column("Images a second")), [("1", "95"), ("32", "410")], ("batch", "batches")),
            Lines("Throughput by batch", (Line([1, 8, 32], [95, 310, 410]),), Axis("batch"), Axis(form="count")),
        ),
        "Measured after training.",
    )
    page = plain(render(report_of(own, steps=(Step("throughput", "Use larger batches", "They are faster."),))))
    assert '<section id="throughput"><h2>Throughput</h2><p class="lead">Measured after training.</p>' in page
    assert "The engine runs <b>410 images</b> a second." in page
    assert '<th scope="row">32</th><td class="num">410</td>' in page
    assert '<a href="#throughput">Throughput</a>' in page  # among the contents
    assert '<a href="#throughput">Use larger batches</a>They are faster.' in page
    assert '<div class="charts"><figure><figcaption>Throughput by batch' in page


def test_a_report_that_cannot_be_linked_is_refused() -> None:
    for anchor in ("", "Mistakes", "a b", "result", "pair-0-1", "x'y"):
        with pytest.raises(ValueError, match=re.escape(f"not {anchor!r}")):
            Section(anchor, "t", ())
    with pytest.raises(ValueError, match="two sections have the anchor 'a'"):
        report_of(Section("a", "t", ()), Section("a", "u", ()))
    with pytest.raises(ValueError, match="the step 'Look' leads to 'b'; there are result, facts, a"):
        report_of(Section("a", "t", ()), steps=(Step("b", "Look", "why"),))


def test_a_block_of_no_known_kind_is_refused_by_name() -> None:
    class Video(Block):
        pass

    with pytest.raises(TypeError, match=r"a section is made of Bars, Bubbles, .* not of Video"):
        render(report_of(Section("a", "t", (Video(),))))
    with pytest.raises(ValueError, match="a table of 2 columns has a row of 1 cells"):
        Table((Column("a"), Column("b")), [("x",)])
    with pytest.raises(ValueError, match=r"shape \(2, 2\); 3 classes need \(3, 3\)"):
        ConfusionMatrix(("a", "b", "c"), np.eye(2, dtype=int))


def test_names_of_every_language_are_left_alone() -> None:
    for name in ("Größe", "می‌خواهم", "蜂", "👩‍🌾"):
        assert text(name) == name


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 21, 1000, 3000])
def test_a_confusion_matrix_of_any_size(count: int) -> None:
    matrix = np.eye(count, dtype=np.int64) * 40
    for place in range(count - 1):
        matrix[place, place + 1] = 10
    names = tuple(f"Latin species name {place}" for place in range(count))
    page = render(report_of(Section("confusion", "Confusion matrix", (ConfusionMatrix(names, matrix),))))
    assert len(page.encode()) < 1_000_000
    Strict(page)
    cells = re.findall(r'<td class="(?:hit|miss|nil)"', page)
    side = min(count, 20)
    assert len(cells) == side * (side + (count > 20))
    assert ("The 20 most confused of" in page) == (count > 20)


def test_of_many_classes_the_most_confused_ones_are_shown() -> None:
    counts = np.eye(500, dtype=np.int64) * 20
    counts[400, 17] = 9
    matrix = ConfusionMatrix(tuple(f"c{place}" for place in range(500)), counts)
    assert matrix.confusable(20)[:2] == (400, 17)
    assert len(set(matrix.confusable(20))) == 20
    assert 'title="c400"' in render(report_of(Section("confusion", "Confusion matrix", (matrix,))))
    assert [(one.row, one.column, one.count, one.of) for one in matrix.most_confused(3)] == [(400, 17, 9, 29)]


def test_cells_open_to_their_images_and_state_what_they_leave_out() -> None:
    pictures = tuple(CellPicture(0, 1, Picture(SMALL, "confidence 60 %", f"{place}.jpg")) for place in range(12))
    matrix = ConfusionMatrix(("odd", "bees"), np.array([[40, 10], [8, 42]]), pictures)
    page = render(report_of(Section("confusion", "Confusion matrix", (matrix,))))
    assert '<a href="#pair-0-1">10</a>' in page
    assert '<td class="miss" style="--s:0.16">8</td>' in page  # no picture, no link
    panel = page[page.index('id="pair-0-1"') :]
    assert panel.index('href="#confusion">close</a>') < 200
    assert "2 more images not shown." in panel
    assert 'predicted as <b>bees</b><span>10 of 50, 20.0 %<a href="#pair-0-1">images</a>' in plain(page)
    none = ConfusionMatrix(("a", "b"), np.array([[5, 0], [0, 5]]))
    assert "No two classes are confused." in render(report_of(Section("confusion", "Confusion matrix", (none,))))


def test_a_thousand_classes_and_fifty_thousand_errors_stay_small() -> None:
    count, generator = 1000, np.random.default_rng(0)
    matrix = np.zeros((count, count), np.int64)
    for _ in range(5):
        np.add.at(matrix, (np.arange(count), generator.permutation(count)), 10)
    np.fill_diagonal(matrix, 40)
    names = tuple(f"a class with a name as long as they come, number {place}" for place in range(count))
    noise = [picture(224, 224, seed) for seed in range(5)]
    rows, columns = np.nonzero(matrix - np.diag(np.diagonal(matrix)))
    pictures = tuple(
        CellPicture(row, column, Picture(noise[turn % 5], "confidence 90 %", f"val/{names[row]}/{column} {turn}.jpg"))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        for turn in range(matrix[row, column])
    )
    assert len(pictures) > 49_000
    errors = Section("mistakes", "Errors", (Gallery(tuple(one.picture for one in pictures)),))
    confusion = Section("confusion", "Confusion matrix", (ConfusionMatrix(names, matrix, pictures),))
    page = render(report_of(confusion, errors))
    parsed = inspect(page)
    assert 100 < page.count("data:image") <= 250
    # The gallery, though later in the page, has all the pictures it may have.
    assert page[page.index('id="mistakes"') :].count("data:image") == 24
    panels = [f"#{anchor}" for anchor in parsed.values("id") if anchor.startswith("pair-")]
    assert len(panels) > 50
    assert set(panels) <= set(parsed.values("href"))  # a panel that nothing leads to would only weigh
    assert "more images not shown" in page


def test_long_lists_and_tables_are_cut_and_state_it() -> None:
    listing = Listing("Files", [(Code(f"train/{place}.jpg"), ": unreadable") for place in range(20_000)])
    rows = [(f"class {place}", "1") for place in range(5000)]
    table = Table((Column("Class"), Column("Images")), rows, ("class", "classes"), "further classes")
    page = plain(render(report_of(Section("a", "t", (listing,)), Section("b", "t", (table,)))))
    assert len(page) < 300_000
    assert "and 19,500 more" in page
    assert "<summary>1,000 more classes</summary>" in page and "3,980 further classes are not listed." in page


@pytest.mark.parametrize("shape", [(300, 200, 3), (28, 28), (1, 4000, 3), (112, 50)])
def test_thumbnails_are_small_jpegs_never_enlarged(shape: tuple[int, ...]) -> None:
    address = data_uri(np.zeros(shape, np.uint8))
    picture = Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/jpeg;base64,"))))
    assert picture.format == "JPEG"
    assert max(picture.size) == min(112, max(shape[:2]))
    assert picture.mode == ("L" if len(shape) == 2 else "RGB")


def test_pictures_open_larger_within_the_room_of_a_page() -> None:
    noise = [picture(300, 300, seed) for seed in range(24)]
    shown = Gallery(tuple(Picture(one, "a caption", f"{place}.jpg") for place, one in enumerate(noise)))
    page = render(report_of(Section("a", "A", (shown,)), Section("b", "B", (shown,)), Section("c", "C", (shown,))))
    assert "<script" not in page and ".frame:focus img" in page
    assert page.count('class="frame" tabindex="0"') == page.count("data:image") == 72
    stored = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    sides = [max(Image.open(io.BytesIO(base64.b64decode(content))).size) for content in stored]
    assert {sides[0], sides[-1]} == {240, 112}  # the first ones large, until their room is used
    assert len(page) < 3_000_000


@pytest.mark.parametrize("image", [np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8)), np.zeros((0, 8), np.uint8)])
def test_other_arrays_are_refused_by_name(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=re.escape(str(image.shape))):
        data_uri(image)


def curves(rows: tuple[dict[str, float], ...]) -> str:
    return render(report_of(Section("training", "Training", learning_curves(rows))))


def test_curves_accept_gaps_and_single_epochs() -> None:
    assert learning_curves(()) == ()
    assert learning_curves(({"epoch": 1},)) == ()
    assert learning_curves(({"epoch": 1, "loss": float("nan")},)) == ()
    one = curves(({"epoch": 1, "loss": 2.3},))
    assert "nan" not in one
    assert one.count("<svg") == 1
    flat = curves(tuple({"epoch": i, "accuracy": 1.0, "loss": float("inf") if i else 0.5} for i in range(4)))
    assert flat.count("<svg") == 2
    assert "105" not in flat[flat.index("<main>") :]
    assert ">inf" not in flat


def test_long_names_of_dots_that_differ_in_the_middle_are_whole() -> None:
    names = ("FractalNet, local drop-path", "FractalNet, global drop-path")
    page = render(report_of(Section("a", "t", (Intervals("i", tuple(Dot(name, 0.5) for name in names)),))))
    assert all(f">{name}</text>" in page for name in names)


def test_samples_that_are_empty_or_not_finite_are_accepted() -> None:
    nothing, odd = np.zeros(0), [float("nan"), float("inf")]
    none = np.zeros(10, np.int64)
    blocks = (
        Histograms("d", nothing, odd, ("a", "b"), 1.6),
        Histogram("h", odd),
        Scatter("s", odd, odd, diagonal=True),
        Scatter("s", [5, 5], [5, 5], diagonal=True),
        Lines("l", (Line(nothing, nothing),)),
        Intervals("i", (Dot("fold 1", float("nan"), (float("-inf"), float("inf"))),)),
        Reliability(none, np.full(10, np.nan), np.full(10, np.nan), 0.0),
        Grid(()),
        Gallery(()),
    )
    page = render(report_of(Section("a", "t", blocks)))
    inspect(page)
    assert "nan" not in page.lower().replace("&nbsp;", "")


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.9608, "96.1 %"), (1.0, "100.0 %"), (0.99999, "> 99.9 %"), (0.00001, "< 0.1 %"), (0, "0.0 %"), (None, "-")],
)
def test_percentages_never_round_up_to_perfect(share: float | None, said: str) -> None:
    assert plain(percent(share)) == said


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
def test_durations_are_written_plainly(duration: float, said: str) -> None:
    assert plain(seconds(duration)) == said
