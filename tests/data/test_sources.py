"""Sources: every layout of a folder or of arrays, and every kind of litter in it; nothing is silently dropped."""

from __future__ import annotations

import io
import os
import pickle
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from striate import audit
from striate.data.opening import open_source
from striate.data.sources.arrays import open_npz
from striate.data.sources.files import FileSource
from striate.data.sources.folder import open_folder
from striate.data.sources.in_memory import from_parts
from striate.errors import RequestError


def picture(path: Path, seed: int = 0, form: str = "PNG") -> Path:
    """A small image, different for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    with open(path, "wb") as file:
        Image.fromarray(values).save(file, form)
    return path


def on_disk(root: Path) -> set[str]:
    """Every file and symbolic link below a folder, links not followed."""
    found = set()
    for folder, folders, files in os.walk(root):
        linked = [name for name in folders if Path(folder, name).is_symlink()]
        found |= {Path(folder, name).relative_to(root).as_posix() for name in [*files, *linked]}
    return found


def assert_nothing_is_dropped(root: Path, source: FileSource) -> None:
    """Each file is an item or set aside, itself or with the folder it lies in; none is both."""
    items, aside = {item.key for item in source.items}, {oddity.path for oddity in source.oddities}
    assert not items & aside
    for file in on_disk(root):
        parents = {parent.as_posix() for parent in Path(file).parents}
        assert file in items or file in aside or parents & aside, f"{file!r} was silently dropped"
    assert all(oddity.why for oddity in source.oddities)


def kinds(source: FileSource) -> dict[str, str]:
    return {oddity.path: oddity.kind for oddity in source.oddities}


# Folders


def test_flat(tmp_path: Path) -> None:
    for number, key in enumerate(["b/2.png", "b/1.png", "a/1.png"]):
        picture(tmp_path / key, number)
    source = open_folder(tmp_path)
    assert source.task.names == ("a", "b")
    assert [(item.key, item.target, item.part) for item in source.items] == [
        ("a/1.png", 0, ""),
        ("b/1.png", 1, ""),
        ("b/2.png", 1, ""),
    ]
    assert source.oddities == () and source.name == tmp_path.name
    assert source.peek(source.items[0]) == (16, 12, 3)


@pytest.mark.parametrize(
    ("training", "held", "part"), [("train", "val", "val"), ("Training", "TEST", "test"), ("train", "dev", "val")]
)
def test_parts(training: str, held: str, part: str, tmp_path: Path) -> None:
    for number, key in enumerate([f"{training}/a/1.png", f"{training}/b/1.png", f"{held}/a/2.png"]):
        picture(tmp_path / key, number)
    source = open_folder(tmp_path)
    assert sorted((item.key, item.part) for item in source.items) == sorted(
        [(f"{training}/a/1.png", "train"), (f"{training}/b/1.png", "train"), (f"{held}/a/2.png", part)]
    )


def test_classes_may_be_called_test_or_train(tmp_path: Path) -> None:
    for number, key in enumerate(["test/1.png", "blank/1.png"]):
        picture(tmp_path / key, number)
    assert open_folder(tmp_path).task.names == ("blank", "test")
    assert {item.part for item in open_folder(tmp_path).items} == {""}


def test_nested_folders_belong_to_their_class(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "monday" / "camera 1" / "x.png")
    picture(tmp_path / "b" / "x.png", 1)
    source = open_folder(tmp_path)
    assert [item.key for item in source.items] == ["a/monday/camera 1/x.png", "b/x.png"]


NAMES = [
    "with space",
    "çà et là",
    "bees \U0001f41d",
    "two\nlines",
    "tab\there",
    "-dash",
    "a,b",
    'quo"te',
    "100 %",
    "100.png",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_a_name(name: str, tmp_path: Path) -> None:
    picture(tmp_path / name / f"{name}.png")
    picture(tmp_path / "other" / "1.png", 1)
    source = open_folder(tmp_path)
    assert name in source.task.names and f"{name}/{name}.png" in {item.key for item in source.items}
    assert_nothing_is_dropped(tmp_path, source)
    assert len(audit(tmp_path).usable) == 2


@pytest.mark.skipif(os.name == "nt", reason="names are text on Windows")
def test_names_that_are_no_text(tmp_path: Path, cli) -> None:
    name = os.fsdecode(b"caf\xe9")
    picture(tmp_path / name / f"{name}.png")
    picture(tmp_path / "other" / "1.png", 1)
    (tmp_path / "other" / f"{name}.txt").write_text("x")
    source = open_folder(tmp_path)
    assert "caf\\udce9" in source.task.names  # printable wherever it is shown
    assert_nothing_is_dropped(tmp_path, source)
    for arguments in (["audit", tmp_path], ["audit", tmp_path, "--json"]):
        code, out, _ = cli(*arguments)
        assert code == 0 and ("caf\\udce9" in out)


def test_litter_is_set_aside_by_name(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png")
    picture(tmp_path / "b" / "1.png", 1)
    picture(tmp_path / "loose.jpg", 2, "JPEG")
    picture(tmp_path / ".hidden" / "1.png", 3)
    picture(tmp_path / "a" / "._1.png", 4)
    picture(tmp_path / "__MACOSX" / "a" / "1.png", 5)
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "a" / "no ending").write_text("x")
    (tmp_path / "labels.csv").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text only").mkdir()
    (tmp_path / "text only" / "a.txt").write_text("x")
    source = open_folder(tmp_path)
    assert source.task.names == ("a", "b") and len(source.items) == 2
    assert kinds(source) == {
        "loose.jpg": "no-class", ".hidden": "hidden", "a/._1.png": "hidden", "__MACOSX": "junk", "a/Thumbs.db": "junk",
        "a/notes.txt": "other-file", "a/no ending": "other-file", "labels.csv": "other-file", "empty": "empty-class",
        "text only": "empty-class", "text only/a.txt": "other-file",
    }  # fmt: skip
    assert_nothing_is_dropped(tmp_path, source)


def test_litter_beside_the_parts(tmp_path: Path) -> None:
    for number, key in enumerate(["train/a/1.png", "train/b/1.png", "val/a/2.png", "extra/a/3.png"]):
        picture(tmp_path / key, number)
    picture(tmp_path / "train" / "loose.png", 9)
    (tmp_path / "README.md").write_text("x")
    (tmp_path / "val" / "b").mkdir()
    source = open_folder(tmp_path)
    assert kinds(source) == {
        "extra": "no-part",
        "train/loose.png": "no-class",
        "README.md": "other-file",
        "val/b": "empty-class",
    }
    assert_nothing_is_dropped(tmp_path, source)


def test_images_are_known_by_their_content_where_the_name_says_nothing(tmp_path: Path) -> None:
    for number, (name, form) in enumerate(
        [
            ("photo.txt", "JPEG"),
            ("photo", "PNG"),
            ("photo.gif2", "GIF"),
            ("p.dat", "WEBP"),
            ("p.x", "BMP"),
            ("t", "TIFF"),
        ]
    ):
        picture(tmp_path / "a" / name, number, form)
    picture(tmp_path / "b" / "1.png", 9)
    assert len(open_folder(tmp_path).items) == 7
    mistyped = next(finding for finding in audit(tmp_path).findings if finding.kind == "mistyped")
    assert len(mistyped.paths) == 6


@pytest.mark.skipif(os.name == "nt", reason="POSIX links")
def test_links_are_followed_once_and_never_round_in_a_circle(tmp_path: Path) -> None:
    real = picture(tmp_path / "set" / "a" / "1.png")
    picture(tmp_path / "elsewhere" / "2.png", 1)
    (tmp_path / "set" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "a" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "a" / "same.png").symlink_to(real)
    (tmp_path / "set" / "a" / "broken.png").symlink_to(tmp_path / "nothing")
    source = open_folder(tmp_path / "set")
    assert {item.key for item in source.items} == {"a/1.png", "a/same.png", "a/broken.png", "b/2.png"}
    found = audit(tmp_path / "set")
    assert [(o.path, o.kind) for o in found.set_aside] == [("a/loop", "other-file"), ("a/broken.png", "unreadable")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_named_like_an_image_is_not_waited_for(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png")
    picture(tmp_path / "b" / "1.png", 1)
    os.mkfifo(tmp_path / "a" / "pipe.png")
    assert kinds(open_folder(tmp_path)) == {"a/pipe.png": "other-file"}


@pytest.mark.parametrize("litter", [[], ["notes.txt"], ["photo.jpg"], [".git/x.png"]])
def test_a_folder_without_a_class_says_what_it_needs(litter: list[str], tmp_path: Path) -> None:
    for name in litter:
        picture(tmp_path / name)
    with pytest.raises(RequestError, match=r"no images in .*one subfolder per class"):
        open_folder(tmp_path)


FILES = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["train", "val", "a", "b", ".x", "Thumbs.db", "é", " "]), max_size=4),
        st.sampled_from(["1.png", "2.JPG", "x.txt", ".hid.png", "desktop.ini", "noend"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@given(FILES)
@settings(max_examples=60, deadline=None)
def test_no_tree_of_files_loses_one(files: list[tuple[list[str], str, bool]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for number, (folders, name, real) in enumerate(files):
            path = root.joinpath(*folders, name)
            if not path.parent.exists() or path.parent.is_dir():
                if real:
                    picture(path, number)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(b"text")
        try:
            source = open_folder(root)
        except RequestError:
            return
        assert_nothing_is_dropped(root, source)
        found = audit(root)
        told = {entry.item.key for entry in found.usable} | {oddity.path for oddity in found.set_aside}
        assert {item.key for item in source.items} | set(kinds(source)) == told


# Finding a source


def test_what_is_no_source_is_answered_with_what_would_be(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="did you mean the named set 'mnist-5k'"):
        open_source("mnist5k")
    with pytest.raises(RequestError, match=r"named set 'mnist'\?"):
        open_source("mnsit")
    with pytest.raises(RequestError, match=r"accepted: .*manifest.*\.npz.*IDX.*CIFAR.*a named set \(mnist-5k, faces, "):
        open_source("zzz/qqq")
    for name in ("a.txt", "a.py", "no ending", "a.xml"):
        (tmp_path / name).write_text("x")
        with pytest.raises(
            RequestError,
            match=r"is none of these: a folder of class folders, a folder with images/ and masks/ or captions.txt, a m",
        ):
            open_source(tmp_path / name)
    picture(tmp_path / "photos" / "a" / "1.png")
    with pytest.raises(RequestError, match=r"did you mean '.*photos'\?"):
        open_source(tmp_path / "photo")


def test_a_folder_that_holds_data_in_other_forms_says_so(tmp_path: Path) -> None:
    for name in ("set.npz", "train.jsonl", "cifar.tar.gz"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_bytes(b"x")
        with pytest.raises(RequestError, match=rf"no images in .*or did you mean '.*{name}/{name}'\?"):
            open_source(tmp_path / name)
    (tmp_path / "idx" / "inner").mkdir(parents=True)
    (tmp_path / "idx" / "inner" / "train-images-idx3-ubyte").write_bytes(b"x")
    with pytest.raises(RequestError, match=r"or did you mean '.*inner'\?"):
        open_source(tmp_path / "idx")


@pytest.mark.parametrize(
    "name",
    ["a.csv", "a.tsv", "a.jsonl", "a.npz", "x-train-images-idx3-ubyte", "x-train-images.idx3.ubyte.gz", "a.tar.gz"],
)
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 64, b"\xff" * 64, b"text\n", None], ids=["empty", "nul", "ff", "text", "sparse"]
)
def test_bad_input_ends_in_one_line_for_every_kind_of_file(
    name: str, content: bytes | None, tmp_path: Path, cli
) -> None:
    path = tmp_path / name
    path.write_bytes(content or b"")
    if content is None:
        os.truncate(path, 2**33)  # eight gigabytes that take no room
    code, out, err = cli("train", path, "--out", tmp_path / "run")
    assert code == 2 and out == "" and err.count("\n") == 1 and name in err
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX links")
@pytest.mark.parametrize("name", ["a.csv", "a.npz", "train-images-idx3-ubyte", "a.tar.gz"])
def test_a_link_to_nowhere_is_no_source(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    with pytest.raises(RequestError, match="no folder or file"):
        open_source(tmp_path / name)


@pytest.mark.parametrize("data", ["", "nul\0byte", "x" * 5000])
def test_no_path_at_all(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a" / "1.png")
    monkeypatch.chdir(tmp_path)  # which would do as a folder, but was not asked for
    with pytest.raises(RequestError):
        open_source(data)


# Arrays


def npz(path: Path, **named: np.ndarray) -> Path:
    np.savez(path, **named)
    return path


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("images", "labels"), [("images", "labels"), ("x", "y"), ("x_train", "y_train"), ("xtr", "ytr")]
)
def test_names_of_arrays(images: str, labels: str, tmp_path: Path) -> None:
    source = open_npz(npz(tmp_path / "set.npz", **{images: IMAGES, labels: LABELS}))
    assert source.task.names == ("0", "1", "2") and len(source.items) == 6
    assert {item.part for item in source.items} == {""}  # a lone part is no split
    assert source.read(source.items[3]) == IMAGES[3].tobytes()
    assert source.peek(source.items[0]) == (4, 5, 1)
    decoded = source.decode(source.read(source.items[3]), 0)
    assert np.array_equal(np.asarray(decoded.image)[..., 0], IMAGES[3]) and decoded.notes == ("grey",)


def test_parts_of_arrays_and_colour(tmp_path: Path) -> None:
    colour = np.stack([IMAGES] * 3, axis=-1)
    path = npz(tmp_path / "set.npz", x_train=colour, y_train=LABELS, x_test=colour[:2], y_test=LABELS[:2])
    source = open_npz(path)
    assert [item.part for item in source.items] == ["train"] * 6 + ["test"] * 2
    assert source.peek(source.items[0]) == (4, 5, 3)
    assert open_npz(npz(tmp_path / "c.npz", x=IMAGES[..., None], y=LABELS)).images.shape == (6, 5, 4)


@pytest.mark.parametrize(
    "labels", [np.array(list("abcabc")), np.array([True, False] * 3), np.array([-5, 7, 7, 7, 7, 300], np.int16)]
)
def test_labels_of_other_kinds(labels: np.ndarray, tmp_path: Path) -> None:
    source = open_npz(npz(tmp_path / "s.npz", x=IMAGES, y=labels))
    assert source.task.names == tuple(str(value) for value in sorted(set(labels.tolist())))
    assert [source.task.names[item.target] for item in source.items] == [str(value) for value in labels.tolist()]


BAD_ARRAYS = {
    "float images": {"x": IMAGES / 255, "y": LABELS},
    "int images": {"x": IMAGES.astype(int), "y": LABELS},
    "flat images": {"x": IMAGES.reshape(6, -1), "y": LABELS},
    "two channels": {"x": np.zeros((6, 5, 4, 2), np.uint8), "y": LABELS},
    "channels first": {"x": np.zeros((6, 3, 32, 32), np.uint8), "y": LABELS},
    "no images": {"x": IMAGES[:0], "y": LABELS[:0]},
    "no width": {"x": IMAGES[:, :, :0], "y": LABELS},
    "scalar": {"x": np.uint8(3), "y": LABELS},
    "few labels": {"x": IMAGES, "y": LABELS[:5]},
    "several labels": {"x": IMAGES, "y": np.ones((6, 3), int)},
    "float labels": {"x": IMAGES, "y": LABELS.astype(float)},
    "byte labels": {"x": IMAGES, "y": np.array([b"a"] * 6)},
    "date labels": {"x": IMAGES, "y": np.array(["2020-01-01"] * 6, "datetime64[D]")},
    "scalar label": {"x": IMAGES, "y": np.int64(3)},
    "other names": {"pictures": IMAGES, "answers": LABELS},
    "no labels": {"x": IMAGES},
    "sizes differ": {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, :3], "y_test": LABELS},
    "label kinds differ": {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": np.array(list("abcabc"))},
    "test without train": {"x_test": IMAGES, "y_test": LABELS},
}


@pytest.mark.parametrize("named", BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
def test_arrays_that_do_not_fit_are_refused(named: dict[str, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        open_npz(npz(tmp_path / "bad.npz", **named))
    assert "bad" in str(caught.value)


class Bomb:
    """Pickled, it would make a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


def test_pickled_arrays_are_refused_and_never_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "code ran"
    objects = np.array([Bomb(mark)] * 6, dtype=object)
    cases = {
        "images.npz": npz(tmp_path / "images.npz", x=objects, y=LABELS),
        "labels.npz": npz(tmp_path / "labels.npz", x=IMAGES, y=objects),
        "pickle.npz": tmp_path / "pickle.npz",
        "inside.npz": tmp_path / "inside.npz",
    }
    cases["pickle.npz"].write_bytes(pickle.dumps(Bomb(mark)))
    with zipfile.ZipFile(cases["inside.npz"], "w") as file:
        file.writestr("x.npy", pickle.dumps(Bomb(mark)))
        file.writestr("y", pickle.dumps(Bomb(mark)))
    for path in cases.values():
        with pytest.raises(RequestError):
            open_source(path)
    assert not mark.exists()


def packed(compressed: bool = True) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, x=IMAGES, y=LABELS)
    return stream.getvalue()


def written_npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, IMAGES)
    return stream.getvalue()


def member(header: str) -> bytes:
    """An .npz whose x declares `header`."""
    body = header.encode().ljust(117) + b"\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in ("x.npy", "y.npy"):
            file.writestr(name, b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body)
    return stream.getvalue()


BAD_FILES = {
    "empty": b"",
    "text": b"not a zip",
    "npy": written_npy(),
    "cut": packed()[:-30],
    "zip of text": b"",
    "huge": member("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000, 3)}"),
    "overflowing": member("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 99999999999, 99999999999)}"),
    "negative": member("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, -1, 3)}"),
    "no header": member("{"),
    "deep header": member("(" * 110),
    "code": member("__import__('os').system('true')"),
}


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_files_that_hold_no_arrays_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"bad"):
        open_source(path)


@given(st.data(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_damaged_npz_is_read_or_refused(data: st.DataObject, compressed: bool) -> None:
    content = bytearray(packed(compressed))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.npz"
        path.write_bytes(content)
        try:
            source = open_npz(path)
        except RequestError as error:
            assert "set" in str(error)
        else:
            assert len(source.items) == len(source.images)


DTYPES = st.one_of(
    arrays.boolean_dtypes(), arrays.integer_dtypes(), arrays.unsigned_integer_dtypes(), arrays.floating_dtypes(),
    arrays.complex_number_dtypes(), arrays.unicode_string_dtypes(max_len=4), arrays.byte_string_dtypes(max_len=4),
)  # fmt: skip
ANY_ARRAY = arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
LIKELY_IMAGES = arrays.arrays(np.uint8, arrays.array_shapes(min_dims=3, max_dims=4, max_side=4))
LIKELY_LABELS = arrays.arrays(arrays.integer_dtypes() | arrays.unicode_string_dtypes(max_len=4), st.integers(1, 4))


@given(ANY_ARRAY | LIKELY_IMAGES, ANY_ARRAY | LIKELY_LABELS)
@settings(max_examples=200, deadline=None)
def test_any_arrays_are_a_source_or_refused(images: np.ndarray, labels: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = npz(Path(folder) / "set.npz", x=images, y=labels)
        try:
            source = open_npz(path)
        except RequestError:
            return
    assert images.dtype == np.uint8 and len(labels) == len(images)
    for item in source.items:
        assert source.decode(source.read(item), 0).image.size == (images.shape[2], images.shape[1])


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text are Linux's")
def test_a_class_whose_name_is_no_text_is_printable_from_the_start(tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"tea"):
        folder = tmp_path / os.fsdecode(b"data\xff") / os.fsdecode(name)
        folder.mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (9, 9), (number, len(name), 0)).save(folder / f"{number}.png")
    source = open_source(tmp_path / os.fsdecode(b"data\xff"))
    assert source.task.names == ("caf\\udce9", "tea")
    assert source.name == "data\\udcff"
    for text in (*source.task.names, source.name):
        assert text.encode("utf-8").decode("utf-8") == text  # nothing that a file, a page or an export lacks
    assert all(source.read(item) for item in source.items)  # the files are found by their own names
    named = from_parts({"": (np.zeros((2, 4, 4), np.uint8), np.array(["a\ud800", "b"]))})
    assert named.task.names == ("a\\ud800", "b")
