"""`striate inspect MODEL IMAGE...`: one page, pictures and numbers, for every task."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate import inspect_images
from striate.jobs.inspect import photograph
from striate.jobs.inspect_page import page
from striate.model import Model, write
from striate.nets.build import create
from striate.nets.state import arrays_of
from striate.pixels import Pixels
from striate.tasks import Classification, Multilabel, Regression, Task

COLOURS = ("red", "green", "blue")


def model_of(folder: Path, task: Task, name: str = "resnet8") -> Path:
    """A model file of a small net with random weights."""
    torch.manual_seed(0)
    net = create(name, classes=len(task.names))
    channels = net.in_channels
    pixels = Pixels(32, 32, channels, fraction=0.875, mean=(120.0,) * channels, std=(60.0,) * channels)
    tensors, aliases = arrays_of(net)
    head = "head" if isinstance(net.head, torch.nn.Linear) else ""
    write(folder / f"{name}.safetensors", Model(name, net.options, task, pixels, tensors, head, aliases=aliases))
    return folder / f"{name}.safetensors"


def photo(folder: Path, seed: int = 0, size: tuple[int, int] = (60, 40)) -> Path:
    """Noise: the hardest thing to compress."""
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).save(folder / f"photo{seed}.png")
    return folder / f"photo{seed}.png"


def test_a_page_shows_why(cli, tmp_path: Path) -> None:
    model, image = model_of(tmp_path, Classification(COLOURS)), photo(tmp_path)
    out, maps = tmp_path / "why.html", tmp_path / "maps"
    code, text, _ = cli("inspect", model, image, "--out", out, "--png", maps)
    assert code == 0, text
    html = out.read_text("utf-8")
    for words in (
        "Which places speak for it?",
        "Can these maps be trusted?",
        "Shuffled weights",
        "Deletion",
        "Stage by stage",
        "SmoothGrad",
        "Occlusion",
        "Exact: the mean of the map",
        "8 of 16, 32\u00a0\u00d7\u00a032; field 3\u00a0\u00d7\u00a03 px",
    ):
        assert words in html
    assert html.count("<img") >= 2 + 4 + 4 and "<script" not in html and "http" not in html.replace("http-equiv", "")
    assert f"Page  {out}" in text and "class map of" in text and "8x8, exact" in text
    names = sorted(path.name for path in maps.iterdir())
    assert len(names) == 4
    for name in names:
        with Image.open(maps / name) as drawn:
            assert drawn.size == (480, 480)
    assert sum("cam" in name for name in names) == 2


def test_integrated_gradients_are_shown_with_their_gap(cli, tmp_path: Path) -> None:
    model, image = model_of(tmp_path, Classification(COLOURS), "lenet5_plain"), photo(tmp_path)
    out = tmp_path / "why.html"
    code, text, _ = cli("inspect", model, image, "--out", out, "--method", "ig", "--json")
    found = json.loads(text)["images"][0]
    assert code == 0 and "class_maps" not in found and "checks" not in found
    gradients = found["integrated_gradients"]
    assert gradients["converged"] == (gradients["gap"] <= 0.05)
    html = out.read_text("utf-8")
    assert "Integrated gradients" in html and f"{gradients['steps']} steps" in html
    assert ("did not converge" in html) == (not gradients["converged"])


def test_a_failed_check_is_said_above_the_map(cli, tmp_path: Path) -> None:
    model, image = model_of(tmp_path, Classification(COLOURS)), photo(tmp_path)
    done = inspect_images(model, [image], methods=["cam"])
    html = page(done)
    trust = done.images[0].trust
    assert trust is not None
    from striate.jobs.inspect_checks import checks

    failed = [check for check in checks(trust) if not check.passed]
    assert html.count("Read this map with care") == len(failed)
    trust.randomised[:] = [type(row)(row.stage, 0.9, 0.8, 1.0) for row in trust.randomised]
    html = page(done)
    place = html.index("Read this map with care")
    assert html.index("Which places speak for it?") < place < html.index("<img", place)
    assert "a network with shuffled weights gives a similar map" in html[place : place + 300]


def test_the_numbers_add_up_and_the_seed_repeats_them(cli, tmp_path: Path) -> None:
    model, image = model_of(tmp_path, Classification(COLOURS)), photo(tmp_path)
    ask = ("inspect", model, image, "--class", "blue", "--out", tmp_path / "a.html", "--json", "--seed", 3)
    first, second = (json.loads(cli(*ask, "--method", "cam,occlusion")[1]) for _ in range(2))
    assert first == second
    row = first["images"][0]
    assert row["explained"][0] == "blue" and len(row["explained"]) == 2
    maps = row["class_maps"]
    assert maps["exact"] and maps["kind"] == "cam"
    for values, bias, output in zip(maps["values"], maps["bias"], row["outputs"], strict=True):
        assert abs(np.mean(values) + bias - output) < 1e-4
    assert {check["check"] for check in row["checks"]} == {"Shuffled weights", "Edges", "Deletion"}
    assert np.shape(row["occlusion"]["values"]) == (7, 7)
    earlier = json.loads(cli(*ask, "--layer", "stage2", "--method", "cam")[1])["images"][0]
    assert earlier["class_maps"]["layer"] == "stage2" and not earlier["class_maps"]["exact"]
    assert "occlusion" not in earlier


@pytest.mark.parametrize(
    "task", [Multilabel(COLOURS, (0.5,) * 3), Regression(("age",))], ids=lambda task: str(task.kind)
)
def test_other_tasks_have_maps_of_their_outputs(task: Task, tmp_path: Path) -> None:
    model, image = model_of(tmp_path, task), photo(tmp_path)
    done = inspect_images(model, [image], name=task.names[-1], methods=["cam", "occlusion"], html=tmp_path / "a.html")
    one = done.images[0]
    assert one.classes is not None and one.asked[0] == task.outputs - 1
    assert len(one.classes.values) == min(2, task.outputs)
    assert np.allclose(one.classes.values.mean((1, 2)) + one.classes.bias, one.logits[list(one.asked)], atol=1e-4)
    html = (tmp_path / "a.html").read_text("utf-8")
    assert ("age" in html and "Probability" not in html) == (task.kind == "regression")


def test_twelve_images_fit_into_three_megabytes(tmp_path: Path) -> None:
    model = model_of(tmp_path, Classification(COLOURS), "lenet5_plain")
    (tmp_path / "photos").mkdir()
    for seed in range(12):
        photo(tmp_path / "photos", seed, (200, 180))
    done = inspect_images(model, [tmp_path / "photos"], methods=["cam"], html=tmp_path / "a.html")
    assert len(done.images) == 12 and not done.images[0].classes.exact  # type: ignore[union-attr]
    html = (tmp_path / "a.html").read_text("utf-8")
    assert len(html.encode()) < 3_000_000 and "No room for" not in html
    assert "Not exact, because the network is not linear above this layer" in html


def test_five_answers_with_bars_and_the_class_of_the_folder_marked(tmp_path: Path) -> None:
    names = tuple(f"kind{place}" for place in range(8))
    model = model_of(tmp_path, Classification(names), "lenet5_plain")
    answers = inspect_images(model, [photo(tmp_path)], methods=["cam"]).images[0]
    assert answers.labelled is None
    order = np.argsort(-answers.logits).tolist()
    for place, rows in ((order[1], 5), (order[-1], 6)):  # among the five, and below them
        folder = tmp_path / names[place]
        folder.mkdir()
        done = inspect_images(model, [photo(folder)], methods=["cam"])
        html = page(done)
        assert done.images[0].labelled == place and html.count("its folder") == 1
        assert f"<b>{names[place]}</b>, its folder" in html
        table = html[html.index("Probability") :]
        table = table[: table.index("</table>")]
        assert {name for name in names if f">{name}<" in table} == {names[at] for at in (*order[:5], place)}
        assert table.count('scope="row"') == rows


def test_many_passes_in_bfloat16_give_nearly_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = model_of(tmp_path, Classification(COLOURS)), photo(tmp_path)
    plain = inspect_images(model, [image]).images[0]
    for name, value in (("LEAST_FOR_CHECKS", 0), ("LEAST_FOR_MAPS", 0), ("has_bfloat16", lambda: True)):
        monkeypatch.setattr(f"striate.jobs.inspect.{name}", value)
    done = inspect_images(model, [image])
    one = done.images[0]
    assert done.bfloat16 == ("checks", "gradient", "occlusion") and "of checks, gradient, occlusion" in page(done)
    assert np.array_equal(one.classes.values, plain.classes.values)  # type: ignore[union-attr]
    for found, exact in (
        (one.gradient, plain.gradient),
        (one.occlusion.pixels, plain.occlusion.pixels),  # type: ignore[union-attr]
    ):
        assert not np.array_equal(found, exact)
        assert np.abs(found - exact).max() < 0.05 * np.abs(exact).max()  # type: ignore[operator,arg-type]
    for row, exactly in zip(one.trust.randomised, plain.trust.randomised, strict=True):  # type: ignore[union-attr]
        assert row.stage == exactly.stage and abs(row.mean - exactly.mean) < 0.05


def test_the_frame_is_what_the_network_sees(tmp_path: Path) -> None:
    path = str(photo(tmp_path, size=(60, 40)))
    shown, box = photograph(path, Pixels(32, 32, fraction=0.875))
    assert shown.shape == (40, 60, 3) and box == (12, 2, 47, 37)
    assert photograph(path, Pixels(32, 32, rule="squash"))[1] == (0, 0, 60, 40)
    large = str(photo(tmp_path, 1, (960, 640)))
    shown, box = photograph(large, Pixels(32, 32))
    assert shown.shape == (320, 480, 3) and box == (80, 0, 400, 320)


def test_bad_requests_are_one_line(cli, tmp_path: Path) -> None:
    model, image = model_of(tmp_path, Classification(COLOURS)), photo(tmp_path)
    for arguments, words in (
        ((image, "--part", "lesions"), "give images, which are explained, or --data"),
        ((image, "--class", "bleu"), "unknown class 'bleu'; did you mean 'blue'?"),
        ((image, "--layer", "stage9"), "unknown layer of resnet8 'stage9'"),
        ((image, "--method", "cam,ocln"), "unknown method 'ocln'"),
        ((tmp_path / "missing.jpg",), "missing.jpg"),
        ((image,) * 13, "1 to 12 images, not 13"),
        ((image, "--out", image), "is an input, and is not overwritten"),
    ):
        code, _, err = cli("inspect", model, *arguments)
        assert code == 2 and words in err and len(err.strip().splitlines()) == 1, err
    assert not (tmp_path / "inspect.html").exists()
