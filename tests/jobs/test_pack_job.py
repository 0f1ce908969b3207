"""The job and the verb: where a pack goes, at which size, and that the other verbs work on it."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import audit, evaluate
from striate.data.opening import open_source
from striate.data.pack.source import open_pack
from striate.errors import RequestError, WorkError
from striate.jobs.pack import pack
from striate.jobs.run import Run
from striate.progress import Progress


def side_of(photos: Path) -> int:
    """What the photographs are packed at: 256 pixels, or what half of them have."""
    sides = []
    for path in photos.rglob("*.jpg"):
        with Image.open(path) as image:
            sides.append(min(image.size))
    return min(256, statistics.median_low(sides))


def pictures(root: Path, sizes: list[tuple[int, int]], mode: str = "RGB") -> Path:
    """Two classes of noise, an image of each size in both."""
    for offset, name in enumerate(("a", "b")):
        (root / name).mkdir(parents=True)
        for number, (width, height) in enumerate(sizes):
            values = np.random.default_rng([offset, number]).integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(values).convert(mode).save(root / name / f"{number}.png")
    return root


def shape(data: Path, **options: object) -> tuple[int, ...]:
    return pack(data, **options).source.images.shape[1:]  # type: ignore[arg-type]


def test_the_pack_lies_beside_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pictures(tmp_path / "set.v1", [(20, 30)])
    assert pack(data).source.path == tmp_path / "set.v1.pack"
    monkeypatch.chdir(data)
    (tmp_path / "set.v1.pack").unlink()
    assert pack(".").source.path == tmp_path / "set.v1.pack"
    assert pack(data, out=tmp_path / "new" / "x.pack").source.path.is_file()


def test_a_named_set_is_packed_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = pack("mnist-5k")
    assert done.source.path == Path("mnist-5k.pack") and done.source.images.shape == (5000, 28, 28, 1)
    original = open_source("mnist-5k")
    item = original.items[4321]
    assert open_pack(Path("mnist-5k.pack")).images[4321].tobytes() == original.read(item)


def test_the_size_is_near_training_and_nothing_is_enlarged(tmp_path: Path) -> None:
    assert shape(pictures(tmp_path / "large", [(400, 300), (900, 300)])) == (256, 256, 3)
    assert shape(pictures(tmp_path / "middle", [(120, 100), (100, 140)])) == (100, 100, 3)
    assert shape(tmp_path / "large", size=64) == (64, 64, 3)
    assert shape(tmp_path / "large", rule="squash", size=32) == (32, 32, 3)


def test_small_images_are_packed_as_they_are(tmp_path: Path) -> None:
    data = pictures(tmp_path / "small", [(20, 30), (20, 30)])
    found = pack(data).source
    assert found.images.shape[1:] == (30, 20, 3)
    assert np.array_equal(found.images[0], np.asarray(Image.open(data / found.items[0].key)))
    assert shape(pictures(tmp_path / "mixed", [(20, 30), (64, 10)])) == (30, 64, 3)


def test_grey_images_are_packed_in_one_channel_unless_one_has_colour(tmp_path: Path) -> None:
    data = pictures(tmp_path / "grey", [(20, 20)] * 100, mode="L")
    assert shape(data) == (20, 20, 1)
    Image.new("RGB", (20, 20), (200, 0, 0)).save(data / "b" / "77.png")
    assert shape(data) == (20, 20, 3)


def test_enlarging_is_said(tmp_path: Path) -> None:
    lines: list[str] = []

    class Told(Progress):
        def say(self, line: str) -> None:
            lines.append(line)

    assert shape(pictures(tmp_path / "s", [(90, 70)]), size=128, progress=Told()) == (128, 128, 3)
    assert lines == ["Half of the images have a side of 70 pixels or less, and are enlarged to 128"]


def test_only_a_pack_is_replaced(tmp_path: Path) -> None:
    data, path = pictures(tmp_path / "s", [(20, 20)]), tmp_path / "s.pack"
    before = pack(data).source.path.read_bytes()
    Image.new("RGB", (20, 20), 5).save(data / "b" / "new.png")
    assert pack(data).source.path.read_bytes() != before
    path.write_bytes(b"a letter")
    with pytest.raises(RequestError, match=r"s\.pack' exists, and is not overwritten .*give another with --out"):
        pack(data)
    assert path.read_bytes() == b"a letter"


def test_what_cannot_be_packed_as_asked(tmp_path: Path) -> None:
    data = pictures(tmp_path / "s", [(20, 20)])
    with pytest.raises(RequestError, match=r"the name of a pack must end in \.pack, not .*x\.npz'"):
        pack(data, out=tmp_path / "x.npz")
    with pytest.raises(RequestError, match="from 1 to 8192, not 0"):
        pack(data, size=0)
    with pytest.raises(RequestError, match="unknown pixel rule 'crops'; did you mean 'crop'"):
        pack(data, rule="crops")
    made = pack(data).source.path
    with pytest.raises(RequestError, match="is the input; give another file with --out"):
        pack(made)
    assert pack(made, out=tmp_path / "again.pack").source.items == open_pack(made).items
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkError, match="could not write"):
        pack(data, out=tmp_path / "file" / "x.pack")
    for name in ("a", "b"):
        (data / name / "0.png").write_bytes(b"nothing")
    with pytest.raises(RequestError, match="none of the images of 's' that were tried can be read"):
        pack(data)


def test_the_audit_of_a_pack_is_that_of_the_files(photos: Path, tmp_path: Path) -> None:
    data = tmp_path / "set"
    shutil.copytree(photos, data)
    folders = sorted((data / "train").iterdir())
    first = sorted(folders[0].iterdir())[0]
    shutil.copyfile(first, folders[1] / "twin.jpg")
    Image.open(first).resize((150, 150)).save(folders[1] / "smaller.png")
    Image.new("RGB", (80, 300), (3, 4, 5)).save(folders[1] / "blank.gif")
    (folders[0] / "note.txt").write_text("not an image")
    (folders[0] / "cut.jpg").write_bytes(first.read_bytes()[:3000])
    found = audit(data).as_dict()
    pack(data)
    assert audit(tmp_path / "set.pack").as_dict() == found and len(found["findings"]) >= 5


def test_a_model_is_evaluated_on_a_pack(photos: Path, trained: Run, tmp_path: Path) -> None:
    assert pack(photos, out=tmp_path / "p.pack").source.pixels.height == side_of(photos)
    measured = evaluate(trained.folder, tmp_path / "p.pack").evaluation
    assert (measured.part, measured.total) == ("val", 16)
    assert abs(measured.accuracy - trained.evaluation.accuracy) <= 2 / 16  # resized twice


def test_packing_loads_no_engine(tmp_path: Path) -> None:
    data = pictures(tmp_path / "s", [(20, 20)])
    code = (
        "import sys; from striate.cli.main import main; assert main(['pack', sys.argv[1]]) == 0; "
        "assert not {'torch', 'openvino', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(data)], check=True, stdout=subprocess.DEVNULL)


def test_training_from_a_pack_splits_as_from_the_files(tmp_path: Path) -> None:
    from striate import Recipe, train

    data = pictures(tmp_path / "s", [(32, 32)] * 12)
    made = pack(data).source.path
    recipe = Recipe().updated(
        {"strategy": "scratch", "net.name": "lenet5_plain", "train.epochs": 1, "inference.engine": "torch"}
    )
    for name, source in (("files", data), ("pack", made)):
        train(source, out=tmp_path / name, recipe=recipe)
    files, packed = ((tmp_path / name / "split.csv").read_text() for name in ("files", "pack"))
    assert files == packed and ",val," in files


def test_the_verb(cli, photos: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path / "set"
    shutil.copytree(photos / "val", root)
    folder = sorted(root.iterdir())[0]
    (folder / "broken.jpg").write_bytes(b"")
    code, out, _ = cli("pack", root, "--size", 64)
    assert code == 0
    assert out.splitlines()[0].startswith("Packed 16 images, 64 x 64 pixels, into ")
    assert out.splitlines()[1] == f"Set aside: 1 empty ({folder.name}/broken.jpg)."
    code, out, _ = cli("pack", root, "--out", tmp_path / "b.pack", "--rule", "squash", "--json")
    told = json.loads(out)
    assert (code, told["images"], told["height"], told["channels"]) == (0, 16, side_of(photos), 3)
    assert told["pixels"]["rule"] == "squash" and told["bytes"] == (tmp_path / "b.pack").stat().st_size
    assert told["set_aside"] == [{"path": f"{folder.name}/broken.jpg", "kind": "empty", "why": "zero bytes"}]
    code, _, err = cli("pack", tmp_path / "nothing")
    assert code == 2 and err.count("\n") == 1
