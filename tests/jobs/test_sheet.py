"""The sheet shows what training would see: every transform, the plain image first, words that are all there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from augmenting import augmentation
from PIL import Image

from striate.data.augment.augmentation import Augmentation
from striate.data.opening import open_source
from striate.errors import RequestError
from striate.jobs.augment import EPOCHS, augment, typical
from striate.jobs.sheet import Row, drawn

CELL, STEP, LEFT, FIRST = 168, 176, 28, 136  # of a sheet of 28 x 28 digits: six screen pixels a pixel


def cells(path: Path, row: int) -> np.ndarray:
    """The pictures of a row of a sheet of digits, whose words take one line: uint8 [8, 28, 28]."""
    sheet = np.asarray(Image.open(path).convert("L"))
    top = FIRST + row * (24 + CELL + 26)
    big = [sheet[top : top + CELL, LEFT + STEP * place : LEFT + STEP * place + CELL] for place in range(1 + EPOCHS)]
    for picture in big:
        np.testing.assert_array_equal(picture, picture[::6, ::6].repeat(6, 0).repeat(6, 1))
    return np.stack([picture[::6, ::6] for picture in big])


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 made-up digits of 28 x 28, four of each kind, in one file."""
    generator = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    images = generator.integers(0, 256, (40, 28, 28)).astype(np.uint8)
    np.savez(path, images=images, labels=np.arange(40) // 4)
    return path


def test_a_row_shows_the_plain_image_and_its_draws(digits: Path, tmp_path: Path) -> None:
    done = augment(digits, out=tmp_path / "sheet.png", augment={"flip": 0.5, "shift": 3})
    assert done.rows == ("flip=0.5", "shift=3", "flip=0.5 shift=3")
    assert done.size == (28, 28)
    images = np.load(digits)["images"]
    plain, *draws = cells(tmp_path / "sheet.png", 0)
    assert (images == plain).all((1, 2)).any()
    flipped = [np.array_equal(draw, plain[:, ::-1]) for draw in draws]
    assert all(one or np.array_equal(draw, plain) for one, draw in zip(flipped, draws, strict=True))
    assert 0 < sum(flipped) < EPOCHS
    plain, *draws = cells(tmp_path / "sheet.png", 1)
    padded = np.pad(plain, 3)
    for draw in draws:
        places = [(y, x) for y in range(7) for x in range(7) if np.array_equal(padded[y : y + 28, x : x + 28], draw)]
        assert len(places) == 1


def test_mixup_shows_a_partner(digits: Path, tmp_path: Path) -> None:
    augment(digits, out=tmp_path / "sheet.png", augment={"mixup": 1})
    plain, *draws = cells(tmp_path / "sheet.png", 0).astype(float)
    images = np.load(digits)["images"].astype(float)
    for draw in draws:
        # Of all images there is one that, with some share of the plain one, gives the draw.
        fits = []
        for other in images:
            apart = plain - other
            share = ((draw - other) * apart).sum() / max(1.0, (apart**2).sum())
            fits.append(np.abs(share * plain + (1 - share) * other - draw).max())
        assert min(fits) < 1.5


def test_every_transform_there_is_has_a_row(photos: Path, tmp_path: Path) -> None:
    done = augment(photos, out=tmp_path / "sheet.png", size=32)
    shown = [name for text in done.rows for name in augmentation(text).transforms]
    assert sorted(shown) == sorted(set(Augmentation.names()) - {"aspect", "elastic_sigma", "fill"})
    assert len(typical(224)) == len(done.rows) == len(shown)
    again = augment(photos, out=tmp_path / "again.png", size=32)
    other = augment(photos, out=tmp_path / "other.png", size=32, seed=1)
    contents = [sheet.path.read_bytes() for sheet in (done, again, other)]
    assert contents[0] == contents[1] != contents[2]
    with Image.open(done.path) as sheet:
        assert (sheet.format, sheet.mode) == ("PNG", "RGB")


def test_words_are_broken_and_never_cut() -> None:
    pictures = np.zeros((2, 28, 28, 1), np.uint8)
    long = " ".join(["shorter_side=[[144,0.5],[188,0.2]]"] * 9)
    for row in (Row(long, "all transforms together", pictures), Row("flip=0.5", "mirrored, " * 30, pictures)):
        sheet = np.asarray(drawn([row], "A name that is longer than the two small pictures that it stands above"))
        paper = sheet[0, 0]
        for margin in (sheet[:, :20], sheet[:, -20:], sheet[:20], sheet[-20:]):
            assert (margin == paper).all()


def test_every_words_are_a_sentence_with_its_values() -> None:
    chosen = augmentation("shorter_side=[[144,1],[188,3]] rotate=5 fill=mirror cutout=8 shift=0.0625")
    assert chosen.words("shorter_side") == "resized to a shorter side of 144 (25 %), 188 (75 %), then random crop"
    assert chosen.words("rotate") == "rotated by up to 5 degrees either way, border filled by reflection"
    assert chosen.words("cutout") == "a random square of 8 pixels blanked"
    assert chosen.words("shift") == "shifted by up to 6.25 % of the side along each axis, border filled by reflection"
    assert all(one.words(one.transforms[0]) for one in typical(28))


def test_images_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    with pytest.raises(RequestError, match="none of the 2 images tried in data can be read; see `striate audit`"):
        augment(tmp_path / "data", out=tmp_path / "sheet.png")
    Image.new("RGB", (60, 50), "red").save(tmp_path / "data" / "ant" / "good.png")
    done = augment(tmp_path / "data", out=tmp_path / "sheet.png", augment={"flip": 0.5})
    assert done.unreadable == 2
    assert len(open_source(tmp_path / "data").items) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"augment": {"flp": 0.5}}, r"unknown key 'flp' in \[augment\]: did you mean 'flip'"),
        ({"augment": {"preset": "none"}}, "this augmentation has no transform"),
        ({"out": "sheet.jpg"}, r"its name must end in .png, not 'sheet.jpg'"),
        ({"size": -1}, "from 1 to 2048 pixels, not -1"),
        ({"augment": {"shorter_side": [8]}}, "resized to 8 has no window of 28x28"),
    ],
)
def test_wrong_requests_say_what_was_given(digits: Path, tmp_path: Path, change: dict[str, object], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        augment(digits, **{"out": tmp_path / "sheet.png", **change})  # type: ignore[arg-type]
    assert not (tmp_path / "sheet.png").exists()


def test_the_verb(digits: Path, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = cli("augment", digits, "--out", tmp_path / "sheet.png", "--augment", "rotate=10", "flip=0.5")
    assert code == 0
    assert out.splitlines()[1:] == ["  flip=0.5", "  rotate=10", "  flip=0.5 rotate=10"]
    code, out, _ = cli("augment", digits, "--out", tmp_path / "sheet.png", "--augment", "rotate=10", "--json")
    assert json.loads(out)["rows"] == ["rotate=10"]
    code, _, err = cli("augment", digits, "--augment", "rotate=200")
    assert (code, err.splitlines()[-1]) == (2, "striate: augment.rotate takes a number from 0 to 180, not '200'")
