"""Suggestions of an audit: one set of decisions for each group, after which no group is left."""

from __future__ import annotations

import csv
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from striate import audit
from striate.data.audit.decisions import apply_decisions, read_decisions
from striate.data.audit.suggestions import suggestions
from striate.data.opening import open_source

GONE = {"duplicate", "near-duplicate", "contradiction", "near-contradiction", "leak", "near-leak", "blank"}


def picture(seed: int, size: tuple[int, int] = (120, 96)) -> Image.Image:
    """A picture of many patches, unlike any other."""
    patches = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)


def copied(image: Image.Image, chance: random.Random) -> Image.Image:
    """The picture turned, cropped, mirrored, smaller or as it is."""
    width, height = image.size
    left, top = chance.uniform(0, 0.15) * width, chance.uniform(0, 0.15) * height
    return chance.choice(
        [
            image,
            ImageOps.mirror(image),
            image.transpose(chance.choice(list(Image.Transpose))),
            image.crop((round(left), round(top), round(width * 0.9), round(height * 0.9))),
            image.resize((90, 72)),
        ]
    )


def planted(root: Path, seed: int) -> Path:
    """Thirty pictures in two classes and two parts; copies of a third of them, in any class and part."""
    chance = random.Random(seed)
    places = [f"{part}/{name}" for part in ("train", "val", "test") for name in ("apes", "bears")]
    for place in places:
        (root / place).mkdir(parents=True)
    for number in range(36):
        file = root / places[number % 6] / f"{number:02d}.png"
        image = picture(1000 * seed + number)
        image.save(file)
        for copy in range(chance.choice((0, 0, 1, 1, 3))):
            home = root / (chance.choice(places) if chance.random() < 0.6 else places[number % 6])
            if chance.random() < 0.4:
                shutil.copyfile(file, home / f"{number:02d} copy {copy}.png")
            else:
                copied(image, chance).save(home / f"{number:02d} copy {copy}.jpg", quality=80)
    Image.new("RGB", (100, 80), (90, 90, 90)).save(root / places[0] / "blank.png")
    return root


def kinds(found: object) -> set[str]:
    return {one.kind for one in found.findings} & GONE  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(5))
def test_after_all_suggestions_no_group_is_left(seed: int, tmp_path: Path) -> None:
    data, fixes = planted(tmp_path / "set", seed), tmp_path / "fix.csv"
    assert len(kinds(audit(data, fix_list=fixes))) >= 5
    followed(fixes, data)
    assert kinds(audit(data)) == set()


def followed(fixes: Path, data: Path) -> None:
    """Do in the folder what every row suggests."""
    with open(fixes, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        decision, _, to = row["suggested"].partition(" ")
        file_ = data / row["path"]
        assert row["why"]
        if decision == "drop":
            file_.unlink()
        elif decision == "relabel":
            shutil.move(file_, file_.parent.parent / to / f"was elsewhere {file_.name}")


def test_of_a_group_the_best_is_kept_and_the_reason_given(tmp_path: Path) -> None:
    for place in ("train/apes", "train/bears", "val/apes", "val/bears"):
        (tmp_path / place).mkdir(parents=True)
        for number in range(4):
            picture(hash_of(place) + number).save(tmp_path / place / f"{number}.png")
    picture(1, (160, 128)).save(tmp_path / "train/apes/large.png")
    picture(1, (80, 64)).save(tmp_path / "train/apes/small.png")
    picture(2).save(tmp_path / "train/bears/seen.png")
    picture(2).save(tmp_path / "val/bears/held out.jpg", quality=70)
    picture(3).save(tmp_path / "train/apes/a.png")
    for name in ("b", "c"):
        shutil.copyfile(tmp_path / "train/apes/a.png", tmp_path / f"train/bears/{name}.png")
    picture(4).save(tmp_path / "train/apes/tie.png")
    shutil.copyfile(tmp_path / "train/apes/tie.png", tmp_path / "train/bears/tie.png")
    made = {path: (str(one), one.why) for path, one in suggestions(audit(tmp_path)).items()}
    tie = ("drop", "copies of one image with contradicting labels, none of which has a majority")
    assert made == {
        "train/apes/large.png": ("keep", "the largest of its copies"),
        "train/apes/small.png": ("drop", "a copy of train/apes/large.png"),
        "val/bears/held out.jpg": ("keep", "held out: figures stay comparable"),
        "train/bears/seen.png": ("drop", "a copy of val/bears/held out.jpg"),
        "train/bears/b.png": ("keep", "has the label of the majority"),
        "train/apes/a.png": ("drop", "a copy of train/bears/b.png"),
        "train/bears/c.png": ("drop", "a copy of train/bears/b.png"),
        "train/apes/tie.png": tie,
        "train/bears/tie.png": tie,
    }
    told = suggestions(audit(tmp_path), {"train/bears/tie.png": "apes"})
    assert str(told["train/apes/tie.png"]) == "keep"
    assert str(told["train/bears/tie.png"]) == "drop"


def hash_of(place: str) -> int:
    return 10_000 * (1 + sum(place.encode()))


def test_the_fix_list_is_whole_however_long(tmp_path: Path) -> None:
    pixels = np.zeros((5000, 8, 8), np.uint8)
    pixels[:, 0, 0], pixels[:, 0, 1] = np.arange(5000) // 2 % 250, np.arange(5000) // 500
    pixels[:, 4:] = 255
    audit((pixels, np.arange(5000) // 2 % 2), fix_list=tmp_path / "fix.csv")
    decided = [one.kind for one in read_decisions(tmp_path / "fix.csv").values()]
    assert decided.count("drop") == 2500
    source, _ = apply_decisions(open_source((pixels, np.arange(5000) // 2 % 2)), read_decisions(tmp_path / "fix.csv"))
    assert len(source.items) == 2500
