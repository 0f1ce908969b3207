"""The audit: every fault is named, every conversion listed, and the second look tells the same as the first."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from scenes import scene

from striate import audit
from striate.data.audit.audit import Audit, require_learnable
from striate.data.audit.audit import audit as draw
from striate.data.audit.looking import Memory, look
from striate.data.opening import open_source
from striate.data.sources.base import Item
from striate.data.sources.files import FileSource
from striate.data.sources.folder import open_folder
from striate.errors import RequestError
from striate.pixels import Pixels
from striate.progress import Progress
from striate.tasks import Multilabel, Regression, Target, Task


def picture(path: Path, seed: int = 0, form: str = "PNG", side: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    with open(path, "wb") as file:
        Image.fromarray(values).save(file, form)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of three good images."""
    root = tmp_path / "set"
    for number in range(3):
        picture(root / "a" / f"{number}.png", number)
        picture(root / "b" / f"{number}.png", 10 + number)
    return root


def finding(found: Audit, kind: str) -> tuple[str, ...]:
    """The paths listed under a kind; () where there is no such finding."""
    return next((entry.paths for entry in found.findings if entry.kind == kind), ())


def aside(found: Audit) -> dict[str, str]:
    return {oddity.path: oddity.kind for oddity in found.set_aside}


def test_a_clean_folder(folder: Path) -> None:
    found = audit(folder)
    assert len(found.usable) == 6 and found.set_aside == [] and found.findings == []
    assert found.counts() == {"a": {"all": 3}, "b": {"all": 3}}
    assert found.last_line() == "Nothing was set aside."


def test_files_that_cannot_be_used_are_named_with_the_reason(folder: Path) -> None:
    whole = picture(folder / "a" / "whole.jpg", 50, "JPEG", side=200).read_bytes()
    (folder / "a" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "a" / "empty.jpg").write_bytes(b"")
    (folder / "b" / "text.jpg").write_text("this was renamed")
    found = audit(folder)
    assert aside(found) == {"a/cut.jpg": "truncated", "a/empty.jpg": "empty", "b/text.jpg": "not-an-image"}
    assert len(found.usable) == 7
    assert found.last_line() == "Set aside: 1 truncated, 1 empty, 1 not-an-image (a/cut.jpg, a/empty.jpg and 1 more)."
    assert all(oddity.why for oddity in found.set_aside)


def test_a_gif_named_jpg_is_kept_and_told(folder: Path) -> None:
    picture(folder / "a" / "gif.jpg", 7, "GIF")
    found = audit(folder)
    assert finding(found, "mistyped") == ("a/gif.jpg",)
    assert len(found.usable) == 7 and aside(found) == {}


@pytest.mark.parametrize(
    ("name", "form"), [("x.JPEG", "JPEG"), ("x.jfif", "JPEG"), ("x.tiff", "TIFF"), ("x.PNG", "PNG")]
)
def test_right_endings_are_no_finding(name: str, form: str, folder: Path) -> None:
    picture(folder / "a" / name, 7, form)
    assert finding(audit(folder), "mistyped") == ()


def test_duplicates_contradictions_and_leaks(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for part, name, number in [("train", "a", 0), ("train", "b", 1), ("val", "a", 2), ("val", "b", 3)]:
        picture(root / part / name / "1.png", number)
    shutil.copy(root / "train/a/1.png", root / "train/a/twin.png")
    shutil.copy(root / "train/a/1.png", root / "train/b/wrong.png")
    shutil.copy(root / "train/b/1.png", root / "val/b/leaked.png")
    found = audit(root)
    assert set(finding(found, "duplicate")) == {
        "train/a/1.png", "train/a/twin.png", "train/b/wrong.png", "train/b/1.png", "val/b/leaked.png",
    }  # fmt: skip
    assert set(finding(found, "contradiction")) == {"train/a/1.png", "train/a/twin.png", "train/b/wrong.png"}
    assert set(finding(found, "leak")) == {"train/b/1.png", "val/b/leaked.png"}
    assert len(found.usable) == 7  # told, and none of them taken away
    assert finding(found, "tiny-class") == ()


def test_a_class_that_only_the_held_out_part_knows(tmp_path: Path) -> None:
    for number, key in enumerate(["train/a/1.png", "train/c/1.png", "val/a/2.png", "val/b/2.png"]):
        picture(tmp_path / "set" / key, number)
    found = audit(tmp_path / "set")
    assert found.classes == ("a", "c") and aside(found) == {"val/b/2.png": "unseen-class"}
    assert [found.classes[entry.item.target] for entry in found.usable] == ["a", "c", "a"]


def test_a_class_that_loses_its_images_is_no_class(folder: Path) -> None:
    (folder / "c").mkdir()
    (folder / "c" / "bad.jpg").write_text("text")
    found = audit(folder)
    assert found.classes == ("a", "b") and aside(found) == {"c/bad.jpg": "not-an-image"}


def test_one_class_and_none(folder: Path) -> None:
    shutil.rmtree(folder / "b")
    with pytest.raises(RequestError, match="has one class, 'a'; a classifier needs at least two"):
        require_learnable(audit(folder), "set")
    for path in (folder / "a").iterdir():
        path.write_bytes(b"")
    with pytest.raises(RequestError, match="no usable image in 'set': Set aside: 3 empty"):
        require_learnable(audit(folder), "set")


def test_a_class_of_one_image_is_told(folder: Path) -> None:
    picture(folder / "c" / "only.png", 99)
    assert finding(audit(folder), "tiny-class") == ("c/only.png",)


def test_rare_formats_are_told(folder: Path) -> None:
    for number in range(300):
        picture(folder / "a" / f"more{number}.png", 100 + number, side=2)
    picture(folder / "b" / "placeholder.gif", 9, "GIF")
    assert finding(audit(folder), "odd-format") == ("b/placeholder.gif",)


def test_the_placeholder_among_the_ants_is_named(test_data: Path) -> None:
    if not (test_data / "hymenoptera").is_dir():
        pytest.skip(f"no hymenoptera photographs in {test_data}")
    found = audit(test_data / "hymenoptera")
    named = [path for entry in found.findings for path in entry.paths if "imageNotFound.gif" in path]
    assert named == ["train/ants/imageNotFound.gif"] * 2
    assert len(found.usable) + len(found.set_aside) == 398


def test_conversions_are_listed(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    colours = Image.open(folder / "a" / "0.png")
    colours.save(folder / "a" / "turned.jpg", exif=exif)
    colours.convert("CMYK").save(folder / "a" / "print.jpg")
    colours.convert("L").save(folder / "a" / "grey.png")
    colours.convert("RGBA").save(folder / "a" / "clear.png")
    colours.quantize(8).save(folder / "a" / "few.png")
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000).save(folder / "a" / "deep.png")
    found = audit(folder)
    converted = {entry.kind: entry.paths for entry in found.findings if entry.action == "converted"}
    assert converted == {
        "exif-rotated": ("a/turned.jpg",), "cmyk": ("a/print.jpg",), "grey": ("a/deep.png", "a/grey.png"),
        "alpha": ("a/clear.png",), "palette": ("a/few.png",), "16-bit": ("a/deep.png",),
    }  # fmt: skip
    assert all(entry.explanation in entry.line() for entry in found.findings)


def test_a_file_that_the_disk_will_not_give(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = FileSource.read

    def read(source: FileSource, item: Item) -> bytes:
        if item.key == "a/1.png":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if item.key == "b/2.png":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(source, item)

    monkeypatch.setattr(FileSource, "read", read)
    found = audit(folder)
    assert {o.path: (o.kind, o.why) for o in found.set_aside} == {
        "a/1.png": ("unreadable", "Permission denied"), "b/2.png": ("unreadable", "Input/output error"),
    }  # fmt: skip
    assert len(found.usable) == 4


def test_the_dictionary_is_json_and_complete(folder: Path) -> None:
    (folder / "a" / "bad\nname.jpg").write_bytes(b"")
    facts = json.loads(json.dumps(audit(folder).as_dict(), allow_nan=False))
    assert facts["images"] == 6 and facts["classes"] == {"a": {"all": 3}, "b": {"all": 3}}
    assert facts["set_aside"] == [{"path": "a/bad\nname.jpg", "kind": "empty", "why": "zero bytes"}]
    assert facts["findings"][0]["count"] == 1
    assert "\n" not in audit(folder).last_line() and "bad\\nname.jpg" in audit(folder).last_line()


# The memory


def test_the_second_look_decodes_nothing_and_tells_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a" / "cut.png").write_bytes((folder / "a" / "0.png").read_bytes()[:100])
    Image.open(folder / "a" / "1.png").convert("L").save(folder / "b" / "grey.png")
    first = audit(folder)

    def decode(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(FileSource, "decode", decode)
    assert audit(folder).as_dict() == first.as_dict()
    shutil.move(folder / "a" / "0.png", folder / "b" / "moved.png")  # known by content, not by name
    assert audit(folder).counts() == {"a": {"all": 2}, "b": {"all": 5}}


def test_a_changed_file_is_looked_at_again(folder: Path) -> None:
    audit(folder)
    (folder / "a" / "0.png").write_bytes(b"now broken")
    assert aside(audit(folder)) == {"a/0.png": "not-an-image"}


DAMAGE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe",
    b'{"x": null}',
    b'{"x": {}}',
    b'{"x": {"notes": 3}}',
    b"[" * 100_000,
    b"3",
    b'""',
]


@pytest.mark.parametrize("content", DAMAGE, ids=lambda content: repr(content[:20]))
def test_a_damaged_memory_is_made_anew(content: bytes, folder: Path) -> None:
    first = audit(folder)
    path = Memory(open_source(folder)).path
    good = Memory(open_source(folder)).records
    path.write_bytes(content)
    assert audit(folder).as_dict() == first.as_dict()
    assert Memory(open_source(folder)).records == good and len(good) == 6


@given(data=st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_memory_damaged_anywhere_changes_nothing(data: st.DataObject, folder: Path) -> None:
    cut = folder / "a" / "cut.png"
    cut.write_bytes((folder / "a" / "0.png").read_bytes()[:100])
    Image.open(folder / "a" / "1.png").convert("L").save(folder / "b" / "grey.png")
    first = audit(folder)
    path = Memory(open_source(folder)).path
    good = path.read_bytes()
    bad = bytearray(good)
    # How long it is changes with the digits of a time, and what is drawn may not depend on that.
    bad[data.draw(st.integers(0, 10**6)) % len(bad)] = data.draw(st.integers(0, 255))
    path.write_bytes(bad)
    assert audit(folder).as_dict() == first.as_dict()


def test_a_stranger_in_the_memorys_place(folder: Path) -> None:
    first = audit(folder)
    path = Memory(open_source(folder)).path
    path.unlink()
    path.mkdir()
    said: list[str] = []

    class Listening(Progress):
        def say(self, line: str) -> None:
            said.append(line)

    # Neither read nor written over: the audit is the same, and the user is told.
    assert audit(folder, progress=Listening()).as_dict() == first.as_dict()
    assert path.is_dir()
    assert ["is a folder, and is not replaced" in line for line in said] == [True]


def test_arrays_are_audited_too(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 9, 7), dtype=np.uint8)
    images[5] = images[0]
    np.savez(tmp_path / "set.npz", x=images, y=[0, 0, 0, 0, 1, 1, 1, 1])
    found = audit(tmp_path / "set.npz")
    assert finding(found, "contradiction") == finding(found, "duplicate") == ("image/0", "image/5")
    assert len(finding(found, "grey")) == 8 and finding(found, "mistyped") == ()


# What is judged against the rest of a folder


def photograph(path: Path, seed: int, size: tuple[int, int] = (96, 80), **how: int) -> Image.Image:
    """A made-up photograph, saved; one in the same size is returned for further copies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = scene(seed % 2, seed, size)
    image.save(path, **how)
    return image


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Two classes of twelve made-up photographs."""
    for seed in range(24):
        photograph(tmp_path / "many" / "ab"[seed // 12] / f"{seed}.png", seed)
    return tmp_path / "many"


def kinds(found: Audit) -> dict[str, tuple[str, ...]]:
    return {entry.kind: entry.paths for entry in found.findings}


def test_good_photographs_raise_no_alarm(many: Path) -> None:
    assert kinds(audit(many)) == {}


def test_outliers_in_size_and_aspect(many: Path) -> None:
    photograph(many / "a" / "icon.png", 100, (16, 14))
    photograph(many / "a" / "poster.jpg", 101, (1000, 800))
    photograph(many / "b" / "strip.png", 102, (400, 60))
    found = audit(many)
    assert kinds(found) == {"tiny": ("a/icon.png",), "huge": ("a/poster.jpg",), "odd-aspect": ("b/strip.png",)}
    remarks = {entry.kind: entry.remarks for entry in found.findings}
    assert remarks == {"tiny": ("16 x 14",), "huge": ("1000 x 800",), "odd-aspect": ("400 x 60",)}
    assert "b/strip.png (400 x 60)" in found.findings[2].line()


def test_a_folder_of_all_sizes_has_no_outliers(tmp_path: Path) -> None:
    for seed in range(24):
        side = round(12 * 1.15**seed)
        photograph(tmp_path / "set" / "ab"[seed % 2] / f"{seed}.jpg", seed, (side, side * (1 + seed % 6)))
    assert {"tiny", "huge", "odd-aspect"}.isdisjoint(kinds(audit(tmp_path / "set")))


def test_few_images_are_not_judged_by_size(folder: Path) -> None:
    photograph(folder / "a" / "large.png", 5, (640, 480))
    assert kinds(audit(folder)) == {}


@pytest.mark.parametrize(("low", "high", "told"), [(0, 1, True), (250, 256, True), (120, 122, True), (90, 130, False)])
def test_blank_images(low: int, high: int, told: bool, many: Path) -> None:
    values = np.random.default_rng(1).integers(low, high, (80, 96, 3), dtype=np.uint8)
    Image.fromarray(values).save(many / "a" / "noise.png")
    assert finding(audit(many), "blank") == (("a/noise.png",) if told else ())


def test_imbalance_names_the_small_classes(many: Path) -> None:
    for seed in (50, 51):
        photograph(many / "c" / f"{seed}.png", seed)
    found = audit(many)
    entry = next(entry for entry in found.findings if entry.kind == "imbalance")
    assert entry.paths == ("c",) and entry.remarks == ("2 of 12",)
    assert found.balance() == "Balance: from 2 (c) to 12 (b) training images (6.0 times as many)."
    photograph(many / "c" / "third.png", 52)  # a quarter is told in the balance, and is no finding
    assert finding(audit(many), "imbalance") == ()


# Near-duplicates


def copies(root: Path) -> Path:
    """train/ and val/ with a copy within a class, one across classes, and one across the parts."""
    for seed in range(8):
        photograph(root / "train" / "ab"[seed % 2] / f"{seed}.png", seed)
        photograph(root / "val" / "ab"[seed % 2] / f"{seed}.png", 100 + seed)
    scene(0, 0).save(root / "train" / "a" / "again.jpg", quality=60)
    scene(1, 1).resize((86, 72)).save(root / "train" / "a" / "wrong.png")
    ImageOps.mirror(scene(0, 2)).save(root / "val" / "a" / "leak.png")
    return root


def test_near_duplicates_contradictions_and_leaks(tmp_path: Path) -> None:
    found = audit(copies(tmp_path / "set"))
    groups = {entry.kind: entry.groups for entry in found.findings}
    assert groups == {
        "near-duplicate": (("train/a/0.png", "train/a/again.jpg"),),
        "near-contradiction": (("train/a/wrong.png", "train/b/1.png"),),
        "near-leak": (("train/a/2.png", "val/a/leak.png"),),
    }
    assert all(entry.action == "kept" for entry in found.findings) and found.set_aside == []
    assert " = " in found.findings[0].line()
    assert found.as_dict()["findings"][0]["groups"] == [list(groups["near-contradiction"][0])]


def test_twins_are_equal_and_near_images_together(tmp_path: Path) -> None:
    root = copies(tmp_path / "set")
    shutil.copy(root / "train/a/0.png", root / "train/a/0 again.png")
    shutil.copy(root / "train/b/3.png", root / "train/b/3 again.png")
    found = audit(root)
    keys = [entry.item.key for entry in found.usable]
    assert [[keys[place] for place in group] for group in found.twins()] == [
        ["train/a/0 again.png", "train/a/0.png", "train/a/again.jpg"],
        ["train/a/2.png", "val/a/leak.png"],
        ["train/a/wrong.png", "train/b/1.png"],
        ["train/b/3 again.png", "train/b/3.png"],
    ]
    assert set(finding(found, "duplicate")) == {
        "train/a/0 again.png", "train/a/0.png", "train/b/3 again.png", "train/b/3.png",
    }  # fmt: skip


def test_small_images_have_no_near_duplicates(tmp_path: Path) -> None:
    for seed in range(6):
        photograph(tmp_path / "set" / "ab"[seed % 2] / f"{seed}.png", seed, (90, 63))
    scene(0, 0, (90, 63)).save(tmp_path / "set" / "a" / "again.jpg", quality=90)
    assert kinds(audit(tmp_path / "set")) == {}


def test_too_many_images_to_compare_are_told(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.data.audit.audit.LIMIT", 20)
    found = audit(many)
    assert kinds(found) == {"not-compared": ()} and found.twins() == []
    assert found.findings[0].line().startswith("not-compared, kept (near-duplicates are searched among at most")


def test_large_comparisons_are_kept_until_an_image_changes(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene(0, 0).save(many / "a" / "again.jpg")
    monkeypatch.setattr("striate.data.audit.audit._MANY", 2)
    first = audit(many)
    with monkeypatch.context() as patched:

        def again(*_: object) -> None:
            raise AssertionError("compared again")

        patched.setattr("striate.data.audit.audit.near_groups", again)
        assert audit(many).as_dict() == first.as_dict()
    for path in Path(os.environ["STRIATE_CACHE"], "audit").glob("*.json"):
        path.write_bytes(path.read_bytes()[:-3])
    assert audit(many).as_dict() == first.as_dict()
    (many / "a" / "again.jpg").unlink()
    assert kinds(audit(many)) == {}


# Other tasks


def retargeted(folder: Path, task: Task, targets: dict[str, Target]) -> Audit:
    """The audit of a folder whose images have other targets than its classes."""
    source = open_folder(folder)
    items = tuple(replace(item, target=targets[item.key]) for item in source.items)
    changed = replace(source, task=task, items=items)
    return draw(changed, [(one.item, one.record) for one in look(changed, Pixels(16, 16))])


def test_several_labels_contradict_as_sets_and_are_counted_one_by_one(many: Path) -> None:
    shutil.copy(many / "a" / "0.png", many / "a" / "00.png")
    shutil.copy(many / "b" / "12.png", many / "b" / "120.png")
    targets: dict[str, Target] = {item.key: (0, 1) for item in open_folder(many).items}
    targets["a/00.png"] = (0,)
    targets["a/1.png"] = (1, 2)
    found = retargeted(many, Multilabel(("sky", "sea", "boat")), targets)
    assert kinds(found) == {
        "contradiction": ("a/0.png", "a/00.png"), "duplicate": ("a/0.png", "a/00.png", "b/12.png", "b/120.png"),
        "imbalance": ("boat",), "tiny-class": ("a/1.png",),
    }  # fmt: skip
    assert "under different labels" in found.findings[0].explanation
    assert found.counts() == {"sky": {"all": 25}, "sea": {"all": 25}, "boat": {"all": 1}}


def test_numbers_contradict_and_have_no_classes(many: Path) -> None:
    scene(0, 0).save(many / "a" / "again.jpg")
    targets: dict[str, Target] = {item.key: float(n) for n, item in enumerate(open_folder(many).items)}
    found = retargeted(many, Regression(("age",)), targets)
    assert kinds(found) == {"near-contradiction": ("a/0.png", "a/again.jpg")}
    assert found.balance() == "age ranges from 0 to 24; the median is 12."
    targets["a/again.jpg"] = targets["a/0.png"]
    assert kinds(retargeted(many, Regression(("age",)), targets)) == {"near-duplicate": ("a/0.png", "a/again.jpg")}


def test_the_order_of_a_source_is_kept(folder: Path) -> None:
    assert [entry.item.key for entry in audit(folder).usable] == [item.key for item in open_folder(folder).items]
