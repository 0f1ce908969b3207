"""Search by image: the index, its neighbours, its page, and how good it is."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from records import record
from scenes import scene

import striate
from striate.data.sources.files import FileSource
from striate.errors import RequestError
from striate.model import Model, read, write
from striate.nets.build import create
from striate.nets.state import arrays_of
from striate.pixels import Pixels
from striate.retrieval.embedding import unit_vectors
from striate.retrieval.evaluation import retrieval_scores
from striate.retrieval.index import read_index
from striate.retrieval.nearest import Searcher
from striate.tasks import Classification


def saved(path: Path, seed: int) -> Path:
    """A model file of an untrained network."""
    torch.manual_seed(seed)
    made = create("resnet8", classes=2, input_size=(32, 32))
    tensors, aliases = arrays_of(made)
    task = Classification(("discs", "bars"))
    write(path, Model("resnet8", made.options, task, Pixels(32, 32), tensors, head="head", aliases=aliases))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures in photos/, one of them a second time at another size, an empty file, and a model."""
    root = tmp_path_factory.mktemp("search")
    for kind, name in enumerate(("discs", "bars")):
        (root / "photos" / name).mkdir(parents=True)
        for seed in range(4):
            scene(kind, seed).save(root / "photos" / name / f"{seed}.png")
    scene(0, 0).resize((144, 120)).save(root / "photos" / "bars" / "copy.jpg", quality=90)
    (root / "photos" / "notes.txt").write_text("no picture")
    (root / "photos" / "damaged.jpg").write_bytes(b"\xff\xd8\xff nothing")
    saved(root / "net.safetensors", seed=0)
    return root


@pytest.fixture(scope="module")
def made(folder: Path) -> Path:
    path = folder / "photos.index"
    striate.index(folder / "photos", out=path, net=folder / "net.safetensors", engine="torch")
    return path


def vectors(count: int, width: int = 16, seed: int = 0) -> np.ndarray:
    return unit_vectors(np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32))


def around_the_mean(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    rest = rows.astype(np.float64) - mean
    return rest / np.linalg.norm(rest, axis=1, keepdims=True)


def test_the_nearest_are_those_of_a_full_sort() -> None:
    rows, queries = vectors(700) + 0.2, vectors(150, seed=1) + 0.2
    rows, queries = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (rows, queries))
    distances, places = Searcher(rows).nearest(queries, 10)
    mean = rows.sum(axis=0, dtype=np.float64) / 720
    every = np.linalg.norm(around_the_mean(rows, mean)[None] - around_the_mean(queries, mean)[:, None], axis=2)
    assert np.array_equal(places, np.argsort(every, axis=1, kind="stable")[:, :10])
    assert np.allclose(distances, np.sort(every, axis=1)[:, :10], atol=1e-5)
    alone = [Searcher(rows).nearest(query[None], 10)[1][0] for query in queries[:5]]
    assert np.array_equal(alone, places[:5])
    twice = Searcher(np.concatenate([rows, rows])).nearest(rows[5:6], 2)
    assert twice[1].tolist() == [[5, 705]] and twice[0].max() == 0
    for few in (3, 1, 0):
        distances, places = Searcher(rows[:few]).nearest(queries, 10)
        assert places.shape == (150, few) and (distances <= 2).all()


def test_of_equal_vectors_the_first_comes_first_however_many_are_asked_for() -> None:
    rows = unit_vectors(np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32))
    searcher = Searcher(np.concatenate([rows, rows, rows]))
    for top in (1, 2, 3, 4, 9):
        for queries in (rows[:1], rows[:7]):  # alone, and beside others
            places = searcher.nearest(queries, top)[1]
            assert [row[:3] for row in places.tolist()] == [
                [place, place + 40, place + 80][:top] for place in range(len(queries))
            ]


def test_embeddings_become_unit_vectors() -> None:
    found = unit_vectors(np.array([[4, 0, -9, 0], [0, 0, 0, 0]], np.float32))
    assert np.allclose(found, [[2 / 13**0.5, 0, -3 / 13**0.5, 0], [0, 0, 0, 0]])
    with pytest.raises(RequestError, match="NaN or infinite"):
        unit_vectors(np.array([[1, np.nan]], np.float32))


def test_faiss_finds_the_same_or_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, queries = vectors(300), vectors(20, seed=1)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "faiss", None)
        with pytest.raises(RequestError, match=r"pip install 'striate\[faiss\]'"):
            Searcher(rows, "faiss")
    pytest.importorskip("faiss", reason="the extra 'faiss' is not installed")
    for one, other in zip(*(Searcher(rows, name).nearest(queries, 5) for name in ("faiss", "numpy")), strict=True):
        assert np.array_equal(one, other)
    many = vectors(5000, width=8)
    found, exact = (Searcher(many, name).nearest(many[::250], 10)[1].tolist() for name in ("faiss", "numpy"))
    assert np.mean([len({*one} & {*other}) for one, other in zip(found, exact, strict=True)]) > 8
    with pytest.raises(RequestError, match="unknown backend 'fais'"):
        Searcher(rows, "fais")


def test_scores_against_a_case_worked_by_hand() -> None:
    # On a circle: a at 0 and 20 degrees, b at 30 and 90. In order of distance from each:
    # a0: a, b, b (1, hit first); a20: b, a, b (1/2); b30: a, a, b (1/3); b90: b, a, a (1).
    angles = np.radians([0, 20, 30, 90])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    scores = retrieval_scores(rows, np.array([0, 0, 1, 1]))
    assert scores.mean_average_precision == pytest.approx((1 + 1 / 2 + 1 / 3 + 1) / 4)
    assert (scores.images, scores.recall_at_1) == (4, 0.5)
    assert retrieval_scores(rows, np.array([0, 0, 1, 2])).images == 2  # the others have no image to find
    with pytest.raises(RequestError, match="no class has two images"):
        retrieval_scores(rows, np.arange(4))


def test_index_search_and_page_from_the_command_line(folder: Path, cli) -> None:
    index, page = folder / "cli.index", folder / "page.html"
    code, out, _ = cli("index", folder / "photos", "--out", index, "--net", folder / "net.safetensors", "--json")
    told = json.loads(out)
    assert code == 0 and (told["photographs"], told["net"]) == (9, "resnet8")
    assert {Path(one["path"]).name for one in told["set_aside"]} == {"notes.txt", "damaged.jpg"}
    new = folder / "new.png"
    scene(1, 2).resize((120, 100)).save(new)
    code, out, _ = cli("search", index, new, folder / "photos/discs/1.png", "--top", 4, "--html", page, "--json")
    first, second = json.loads(out)["queries"]
    assert code == 0 and Path(first["neighbours"][0]["path"]).parts[-2:] == ("bars", "2.png")
    assert [one["near_duplicate"] for one in first["neighbours"]] == [True, False, False, False]
    found = [one["distance"] for one in second["neighbours"]]
    assert found == sorted(found) and "1.png" not in str(second["neighbours"][0])  # a query is not its own neighbour
    text = page.read_text("utf-8")
    assert text.count("<img ") == text.count('src="data:image') == 10 and "near-duplicate" in text
    assert not re.search(r"https?://", text)
    (folder / "photos/discs/3.png").rename(folder / "away.png")  # its vector stays in the index
    try:
        code, out, _ = cli("search", index, new, "--top", 9, "--html", page)
    finally:
        (folder / "away.png").rename(folder / "photos/discs/3.png")
    assert code == 0 and "near-duplicate)" in out and "no longer there" in page.read_text("utf-8")


def test_the_neighbours_are_those_of_the_networks_embeddings(folder: Path, made: Path) -> None:
    paths = sorted(photo.path for photo in read_index(made).photos)
    query = folder / "photos/bars/1.png"
    predictor = striate.load(folder / "net.safetensors", engine="torch")
    whole = [np.asarray(Image.open(path).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)) for path in paths]
    rows = unit_vectors(predictor.embed(np.stack(whole)))  # type: ignore[union-attr]
    rows = around_the_mean(rows, rows.sum(axis=0) / 29)
    far = np.linalg.norm(rows - rows[paths.index(str(query))], axis=1)
    expected = [paths[place] for place in np.argsort(far) if paths[place] != str(query)]
    (found,) = striate.search(made, query, top=20).found
    assert [near.path for near in found.neighbours] == expected
    assert [near.distance for near in found.neighbours] == pytest.approx(np.sort(far)[1:].tolist(), abs=1e-3)


def test_a_region_of_the_query_is_searched_for(folder: Path, made: Path) -> None:
    wide = Image.new("RGB", (200, 160), "white")
    wide.paste(scene(0, 2), (90, 50))
    wide.save(folder / "wide.png")
    (found,) = striate.search(made, folder / "wide.png", region="90,50,96,80", top=1).found
    assert found.neighbours[0].path.endswith("discs/2.png") and found.neighbours[0].distance < 1e-3
    itself = striate.search(made, folder / "photos/discs/2.png", region=(0, 0, 96, 80), top=1).found[0]
    assert itself.neighbours[0].path.endswith("discs/2.png")  # of a region, the picture itself is found
    for region, why in (("90,50", "a region is x,y,w,h"), ("150,50,96,80", "has 200 x 160 pixels")):
        with pytest.raises(RequestError, match=why):
            striate.search(made, folder / "wide.png", region=region)
    with pytest.raises(RequestError, match="a region is of one query"):
        striate.search(made, folder / "photos", region="0,0,9,9")


def test_photographs_are_added_and_removed_and_the_index_is_reopened(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, net = tmp_path / "i.index", folder / "net.safetensors"
    whole = striate.index(folder / "photos", out=path, net=net, engine="torch").index
    part = striate.index([folder / "photos/bars"], out=path, net=net, engine="torch")
    assert len(part.index) == 5
    monkeypatch.setattr(FileSource, "decode", lambda *_, **__: pytest.fail("an image was decoded again"))
    striate.index(folder / "photos/bars", out=path, net=net, engine="torch")  # known to the cache
    monkeypatch.undo()
    grown = striate.index([folder / "photos/discs"], out=path, add=True, engine="torch")
    assert (grown.added, len(grown.index)) == (4, 9)
    again = read_index(path)
    order = [[photo.path for photo in whole.photos].index(photo.path) for photo in again.photos]
    assert np.allclose(again.vectors, whole.vectors[order], atol=1e-6) and again.made_by == whole.made_by
    assert striate.index(folder / "photos/discs", out=path, add=True, engine="torch").index.photos == again.photos
    shrunk = striate.index(out=path, remove=[folder / "photos/bars", folder / "photos/discs/0.png"])
    assert (shrunk.removed, [Path(photo.path).name for photo in read_index(path).photos]) == (
        6,
        ["1.png", "2.png", "3.png"],
    )
    with pytest.raises(RequestError, match=r"0\.png' is not in the index"):
        striate.index(out=path, remove=[folder / "photos/discs/0.png"])


def test_an_index_of_another_model_and_damaged_files_are_refused(folder: Path, made: Path, tmp_path: Path, cli) -> None:
    other = saved(tmp_path / "other.safetensors", seed=1)
    query = folder / "photos/bars/1.png"
    code, out, err = cli("search", made, query, "--net", other)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert re.search(r"the index '.*' was made by another model: resnet8 \(\w{8}\), and '.*' is resnet8 \(\w{8}\)", err)
    with pytest.raises(RequestError, match="was made by another model"):
        striate.index(folder / "photos", out=made, add=True, net=other)
    moved = read(folder / "net.safetensors")
    write(tmp_path / "moved.safetensors", moved)
    assert striate.search(made, query, net=tmp_path / "moved.safetensors").found == striate.search(made, query).found
    content = made.read_bytes()
    for place, change in ((len(content) // 2, b"\x7f"), (len(content) - 5, b"!")):
        bad = tmp_path / "bad.index"
        bad.write_bytes(content[:place] + change + content[place + 1 :])
        with pytest.raises(RequestError, match="is damaged"):
            read_index(bad)
    bad.write_bytes(content[:-100])
    for path, why in (
        (bad, "is damaged"),
        (other, "is no index of photographs"),
        (query, "is no index of photographs"),
    ):
        before = path.read_bytes()
        with pytest.raises(RequestError, match=why):
            striate.index(folder / "photos", out=path)
        assert path.read_bytes() == before
    for request, why in (
        ({"out": tmp_path / "none.index", "remove": [query]}, "there is no index"),
        ({"out": made}, "no photographs were given"),
        ({"photos": folder / "phots", "out": made}, "no file or folder"),
    ):
        with pytest.raises(RequestError, match=why):
            striate.index(**request)
    with pytest.raises(RequestError, match="is an input, and is not overwritten"):
        striate.search(made, query, html=query)


def test_near_duplicates_within_the_index(folder: Path, made: Path, cli) -> None:
    code, out, _ = cli("search", made, "--duplicates", "--json")
    (group,) = json.loads(out)["near_duplicates"]
    assert code == 0 and {Path(path).name for path in group} == {"0.png", "copy.jpg"}
    assert striate.near_duplicates(made) == [group]
    assert cli("search", made, "x.png", "--duplicates")[0] == 2


def test_the_pictures_of_a_person_are_found_among_those_of_others(test_data: Path) -> None:
    """All 400 faces are in `benchmarks/search.py`; here the pictures of every fifth person, which is easier."""
    faces = test_data / "coil20_att" / "att_faces"
    if not faces.is_dir():
        pytest.skip(f"no faces: {test_data} has no folder coil20_att")
    people = sorted(one for one in faces.iterdir() if one.is_dir())[::5]
    images = [np.asarray(Image.open(file)) for one in people for file in sorted(one.iterdir())]
    labels = np.repeat(np.arange(len(people)), [len(list(one.iterdir())) for one in people])
    scores = striate.evaluate_search((np.stack(images), labels))
    assert scores.images == 80 and scores.mean_average_precision > 0.85 and scores.recall_at_1 >= 0.98


def test_the_tables_of_the_page_are_the_records() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs" / "applications.md").read_text("utf-8")

    def rows(name: str) -> dict[str, dict[str, float]]:
        return {row["what"]: row for row in record(name)["rows"]}

    found = [row for what, row in rows("search").items() if what.startswith("search by image")]
    assert len(found) == 3
    for row in found:
        assert f"| {row['mean_average_precision']:.3f} | {row['recall_at_1']:.3f} |" in page
        assert row["recall_at_1"] >= 0.896
    least = (0.903, 0.726, 0.563)  # published with the data
    assert all(row["mean_average_precision"] >= one for row, one in zip(found, least, strict=True))
    for what, row in rows("read").items():
        if what.startswith("zip codes read exactly"):
            assert f"| {what.partition(', ')[2]} | {100 * row['share']:.1f} % |" in page
