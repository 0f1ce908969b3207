"""How a folder is read: parts by the names people give them, folds, wrappers, links, and what has no class."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from striate import audit
from striate.data.opening import open_source
from striate.data.sources import walk
from striate.data.sources.base import Source, reading_of
from striate.data.sources.parts import part_named
from striate.errors import RequestError


def pictures(root: Path, *folders: str, count: int = 2) -> Path:
    """Small pictures, each of another grey, in every folder."""
    for place, folder in enumerate(folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("L", (8, 8), 20 * place + number).save(root / folder / f"{number}.png")
    return root


def parts(source: Source) -> dict[str, int]:
    """The number of images of each part."""
    found: dict[str, int] = {}
    for item in source.items:
        found[item.part] = found.get(item.part, 0) + 1
    return found


NAMED = {
    "train": "train training Train TRAINING training_set train2017 train_images trainset trn seg_train training-data",
    "val": "val valid validation dev val2017 valid_set holdout hold-out eval evaluation Dev-Set validation_images",
    "test": "test testing test_set Test_Set tst seg_test testset test2014",
    "": "tests trains apple contest latest protest evaluate devices seg_pred images data 2017 train_test",
}


@pytest.mark.parametrize("part", NAMED, ids=lambda part: part or "none")
def test_parts_by_their_names(part: str) -> None:
    assert {name: part_named(name) for name in NAMED[part].split()} == dict.fromkeys(NAMED[part].split(), part)
    assert part_named("Train Set") == "train" and part_named("Test images") == "test"


@pytest.mark.parametrize(
    ("train", "other", "part"),
    [
        ("training_set", "test_set", "test"),
        ("Train Set", "valid", "val"),
        ("trn", "tst", "test"),
        ("train2017", "val2017", "val"),
    ],
)
def test_folders_named_as_parts_are_parts_and_told(train: str, other: str, part: str, tmp_path: Path) -> None:
    source = open_source(pictures(tmp_path, f"{train}/ants", f"{train}/bees", f"{other}/ants", f"{other}/bees"))
    assert source.task.names == ("ants", "bees") and parts(source) == {"train": 4, part: 4}
    [told] = reading_of(source)
    assert f"{train}/ is read as train" in told and f"{other}/ is read as {part}" in told


def test_a_part_within_a_folder_of_its_name_is_found(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"seg_{part}/seg_{part}/{name}" for part in ("train", "test") for name in ("sea", "wood")))
    source = open_source(pictures(tmp_path, "seg_pred/seg_pred"))
    assert source.task.names == ("sea", "wood") and parts(source) == {"train": 4, "test": 4}
    assert "no-part" in {oddity.kind for oddity in source.oddities}


def test_usual_parts_need_no_word(tmp_path: Path) -> None:
    assert reading_of(open_source(pictures(tmp_path, "train/a", "train/b", "val/a", "val/b"))) == ()


def test_without_train_nothing_is_learnt_of_val_and_test(tmp_path: Path) -> None:
    pictures(tmp_path, "val/a", "val/b", "test/a", "test/b")
    with pytest.raises(RequestError, match=r"no folder train to train on.*--layout classes"):
        open_source(tmp_path)
    assert open_source(tmp_path, "classes").task.names == ("test", "val")


def test_parts_without_classes_are_refused_with_both_readings(tmp_path: Path) -> None:
    pictures(tmp_path, "train", "test")
    with pytest.raises(RequestError, match=r"can be read in two ways: test/ and train/.*--layout classes"):
        open_source(tmp_path)
    assert open_source(tmp_path, "classes").task.names == ("test", "train")


def test_a_part_among_class_folders_is_refused_with_both_readings(tmp_path: Path) -> None:
    pictures(tmp_path, "ants", "bees", "test/ants", "test/bees")
    with pytest.raises(RequestError, match=r"two ways: test/ is a part.*--layout classes"):
        open_source(tmp_path)
    assert open_source(tmp_path, "classes").task.names == ("ants", "bees", "test")


def test_a_class_may_be_called_like_a_part(tmp_path: Path) -> None:
    assert open_source(pictures(tmp_path, "bus", "car", "train")).task.names == ("bus", "car", "train")
    assert open_source(pictures(tmp_path / "b", "blood", "test")).task.names == ("blood", "test")


def test_a_layout_that_is_none_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "a", "b")
    with pytest.raises(RequestError, match="no folder named as a part"):
        open_source(tmp_path, "parts")
    with pytest.raises(RequestError, match="unknown layout 'part'; did you mean 'parts'"):
        open_source(tmp_path, "part")


@pytest.mark.parametrize("unlabelled", ["test", "test/unknown", "test/test"])
def test_unlabelled_images_of_a_part_are_left_out_and_something_is_held_out(unlabelled: str, tmp_path: Path) -> None:
    source = open_source(pictures(tmp_path, "train/ants", "train/bees", unlabelled))
    assert source.task.names == ("ants", "bees") and parts(source) == {"": 4}
    assert any("2 images" in line and "left out" in line for line in reading_of(source))
    assert any("held out" in line for line in reading_of(source))
    assert sum(oddity.kind == "no-class" for oddity in source.oddities) == 2


def test_folders_of_folds_are_groups(tmp_path: Path) -> None:
    source = open_source(pictures(tmp_path, *(f"fold{n}/{name}" for n in (1, 2, 10) for name in ("a", "b"))))
    assert source.task.names == ("a", "b") and parts(source) == {"": 12}
    assert {item.group for item in source.items} == {"fold1", "fold2", "fold10"}
    assert "--folds 3" in reading_of(source)[0] and "fold1/ to fold10/" in reading_of(source)[0]


@pytest.mark.parametrize(
    ("folders", "give"),
    [
        (("set/train/a", "set/train/b", "set/val/a", "set/val/b"), "set"),
        (("x/y/a", "x/y/b"), "x/y"),
        (("train/a", "train/b"), "train"),
    ],
    ids=["around parts", "around classes, twice", "only train"],
)
def test_a_wrapper_is_answered_with_the_folder_to_give(folders: tuple[str, ...], give: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        open_source(pictures(tmp_path, *folders))
    assert f"give {str(tmp_path / give)!r}" in str(caught.value)
    assert open_source(tmp_path / give).task.names == ("a", "b")


def test_images_beside_a_table_are_answered_with_the_table(tmp_path: Path) -> None:
    pictures(tmp_path, "images", count=4)
    (tmp_path / "labels.csv").write_text("image,label\n" + "".join(f"images/{n}.png,{'ab'[n % 2]}\n" for n in range(4)))
    with pytest.raises(RequestError, match=r"did you mean '.*labels\.csv'"):
        open_source(tmp_path)
    assert open_source(tmp_path / "labels.csv").task.names == ("a", "b")


def test_images_without_class_folders_are_told_what_to_do(tmp_path: Path) -> None:
    pictures(tmp_path, "photos", count=3)
    with pytest.raises(RequestError, match=r"3 beside them; a folder needs one subfolder per class"):
        open_source(tmp_path / "photos")


@pytest.mark.parametrize(
    ("name", "command"),
    [("photos.zip", "unzip"), ("p.7z", "7z x"), ("p.rar", "unrar x"), ("p.tar.xz", "tar -xf"), ("p.tbz2", "tar -xf")],
)
def test_an_archive_is_answered_with_how_to_unpack_it(name: str, command: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(RequestError, match=rf"is an archive; unpack it \({command} {name}\)"):
        open_source(tmp_path / name)


def test_an_archive_of_images_by_tar_is_not_taken_for_cifar(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", "a", "b")
    made = shutil.make_archive(str(tmp_path / "photos"), "gztar", tmp_path / "photos")
    with pytest.raises(RequestError, match=r"unpack it \(tar -xf photos.tar.gz\)"):
        open_source(made)


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_linked_folders_are_read_once_and_circles_are_not_followed(tmp_path: Path) -> None:
    pictures(tmp_path / "elsewhere", "more")
    root = pictures(tmp_path / "data", "ants", "bees")
    (root / "ants" / "more").symlink_to(tmp_path / "elsewhere" / "more")
    (root / "bees" / "again").symlink_to(tmp_path / "elsewhere" / "more")
    (root / "bees" / "up").symlink_to(root)
    (root / "wasps").symlink_to(tmp_path / "elsewhere")
    source = open_source(root)
    keys = {item.key for item in source.items}
    assert {"ants/more/0.png", "wasps/more/0.png"} <= keys and not any("up/" in key or "again/" in key for key in keys)
    assert {oddity.path for oddity in source.oddities} == {"bees/again", "bees/up"}


def test_a_locked_folder_is_named_and_the_rest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path, "ants", "bees", "wasps", "bees/inner")
    plain = os.scandir

    def locked(folder: str) -> object:
        if str(folder).endswith(("wasps", "inner")):
            raise PermissionError(13, "Permission denied")
        return plain(folder)

    monkeypatch.setattr(walk.os, "scandir", locked)
    source = open_source(tmp_path)
    assert source.task.names == ("ants", "bees")
    aside = {oddity.path: oddity for oddity in source.oddities}
    assert aside.keys() == {"wasps", "bees/inner"}
    assert aside["wasps"].kind == "unreadable" and "Permission denied" in aside["wasps"].why
    assert "unreadable" in audit(tmp_path).last_line()


def test_a_path_that_is_too_long_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="too long"):
        open_source(tmp_path / ("x" * 5000))


def test_classes_and_files_are_in_the_order_in_which_people_count(tmp_path: Path) -> None:
    pictures(tmp_path, "c1", "c10", "c2", count=12)
    source = open_source(tmp_path)
    assert source.task.names == ("c1", "c2", "c10")
    assert [item.key for item in source.items][:4] == ["c1/0.png", "c1/1.png", "c1/2.png", "c1/3.png"]
    assert [item.key for item in source.items][10:14] == ["c1/10.png", "c1/11.png", "c2/0.png", "c2/1.png"]


@pytest.mark.parametrize("outer", [("train", "train2"), ("treino", "teste"), ("Trainingsdaten", "Pruefdaten")])
def test_folders_like_parts_with_the_same_folders_in_them_are_refused(outer: tuple[str, ...], tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{name}/{inner}" for name in outer for inner in ("ants", "bees")))
    with pytest.raises(RequestError, match=r"can be read in two ways: .* have the same folders ants/ and bees/"):
        open_source(tmp_path)
    assert open_source(tmp_path, layout="classes").task.names == tuple(sorted(outer))


def test_classes_may_have_the_same_folders_in_them(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{name}/{inner}" for name in ("ants", "bees") for inner in ("2019", "2020")))
    assert open_source(tmp_path).task.names == ("ants", "bees")
