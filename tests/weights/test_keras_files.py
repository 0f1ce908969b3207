"""Keras's .h5 files: both layouts are read back as h5py wrote them; what is no such file, or is damaged, is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from keras_files import Layers, write_named, write_numbered

from striate.errors import RequestError
from striate.weights.checkpoints import read_checkpoint
from striate.weights.keras_files import read_keras

RNG = np.random.default_rng(0)


def some(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


LAYERS: Layers = [
    ("input_1", "InputLayer", []),
    ("conv1/conv", "Conv2D", [some(3, 3, 2, 4), some(4)]),
    ("conv1/bn", "BatchNormalization", [some(4) for _ in range(4)]),
    ("depth", "DepthwiseConv2D", [some(3, 3, 4, 1)]),
    ("both", "SeparableConv2D", [some(3, 3, 4, 1), some(1, 1, 4, 5)]),
    ("plain_bn", "BatchNormalization", [some(5) for _ in range(3)]),
    ("normalization", "Normalization", [some(3), some(3), np.int64(7)]),
    ("flatten", "Flatten", []),
    ("fc", "Dense", [some(5, 2), some(2)]),
]
WANTED = {
    "conv1_conv": ("kernel", "bias"),
    "conv1_bn": ("gamma", "beta", "moving_mean", "moving_variance"),
    "depth": ("kernel",),
    "both": ("depthwise_kernel", "pointwise_kernel"),
    "plain_bn": ("beta", "moving_mean", "moving_variance"),
    "normalization": ("mean", "variance"),
    "fc": ("kernel", "bias"),
}
EXPECTED = {
    f"{layer}.{leaf}": arrays[place]
    for (layer, leaves), (_, _, arrays) in zip(WANTED.items(), (row for row in LAYERS if row[2]), strict=True)
    for place, leaf in enumerate(leaves)
}


def read(path: Path) -> dict[str, np.ndarray]:
    return read_checkpoint(path).arrays


@pytest.mark.parametrize("variable", [False, True])
@pytest.mark.parametrize("within", ["/", "model_weights"])
def test_the_layout_with_names_is_read_back_in_order(variable: bool, within: str, tmp_path: Path) -> None:
    found = read(write_named(tmp_path / "w.h5", LAYERS, within=within, variable=variable))
    assert list(found) == list(EXPECTED)
    assert all(array.dtype == np.float32 and np.array_equal(array, EXPECTED[key]) for key, array in found.items())


def test_the_layout_with_numbers_is_read_back_each_class_in_order(tmp_path: Path) -> None:
    found = read(write_numbered(tmp_path / "w.weights.h5", [(n.replace("/", "_"), k, a) for n, k, a in LAYERS]))
    assert found.keys() == EXPECTED.keys()
    assert all(np.array_equal(array, EXPECTED[key]) for key, array in found.items())
    many: Layers = [(f"c{number}", "Conv2D", [some(1, 1, 1, number + 1)]) for number in range(12)]
    bare = read(write_numbered(tmp_path / "bare.weights.h5", many, named=False))
    assert [array.shape[3] for array in bare.values()] == list(range(1, 13))  # conv2d_2 before conv2d_10
    assert list(bare)[:2] == ["conv2d.kernel", "conv2d_1.kernel"]


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8"])
def test_floats_of_any_size_become_float32(dtype: str, tmp_path: Path) -> None:
    given = some(1, 1, 2, 3).astype(dtype)
    found = read(write_named(tmp_path / "w.h5", [("c", "Conv2D", [given])]))["c.kernel"]
    assert found.dtype == np.float32 and np.array_equal(found, given.astype(np.float32))


def test_long_lists_of_names_are_kept_in_several_attributes(tmp_path: Path) -> None:
    layers: Layers = [(f"layer{number}", "Dense", [some(1, 2)]) for number in range(300)]
    path = write_named(tmp_path / "w.h5", layers)
    with h5py.File(path, "r+") as file:
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        for place in range(3):
            file.attrs[f"layer_names{place}"] = names[100 * place : 100 * place + 100]
    assert list(read(path)) == [f"layer{number}.kernel" for number in range(300)]


def test_keras_1_had_other_names_of_arrays(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"convolution2d_1"]
        layer = file.create_group("convolution2d_1")
        layer.attrs["weight_names"] = [b"convolution2d_1_W:0", b"convolution2d_1_b:0"]
        layer["convolution2d_1_W:0"], layer["convolution2d_1_b:0"] = some(1, 1, 2, 3), some(3)
    assert list(read(tmp_path / "w.h5")) == ["convolution2d_1.kernel", "convolution2d_1.bias"]


def _changed(change: Callable[[h5py.File], object]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = write_named(folder / "w.h5", LAYERS)
        with h5py.File(path, "r+") as file:
            change(file)
        return path

    return write


def _instead(make: Callable[[h5py.Group], object]) -> Callable[[Path], Path]:
    """With another array in the place of fc's kernel."""

    def change(file: h5py.File) -> None:
        del file["fc/fc/kernel:0"]
        make(file["fc/fc"])

    return _changed(change)


def _content(content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "w.h5").write_bytes(content)
        return folder / "w.h5"

    return write


def _nested(folder: Path) -> Path:
    with h5py.File(folder / "w.h5", "w") as file:
        file.create_group("layers/functional/layers/conv2d/vars")
    return folder / "w.h5"


def _newest(folder: Path) -> Path:
    with h5py.File(folder / "w.h5", "w", libver="latest") as file:
        file["a"] = some(2, 2)
    return folder / "w.h5"


def _virtual(group: h5py.Group) -> None:
    layout = h5py.VirtualLayout((5, 2), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "a", (5, 2))
    group.create_virtual_dataset("kernel:0", layout)


def _linked(link: object) -> Callable[[Path], Path]:
    def make(group: h5py.Group) -> None:
        group["kernel:0"] = link

    return _instead(make)


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (_content(b""), "is damaged"),
        (_content(b"PK\x03\x04 a .keras file under another name"), "is not an HDF5 file"),
        (_newest, "newer format than Keras writes"),
        (_changed(lambda file: file.attrs.__delitem__("layer_names")), "without the layers of a Keras model; save"),
        (_changed(lambda file: file.attrs.__setitem__("layer_names", [b"nothing"])), "'nothing' is missing in it"),
        (_changed(lambda file: file.attrs.__setitem__("layer_names", np.ones(3))), "should have names has none"),
        (_changed(lambda file: file.attrs.__setitem__("layer_names", [b"fc", b"fc"])), "two of its layers are called"),
        (_changed(lambda file: file.attrs.__setitem__("layer_names", [b"fc/fc/bias:0"])), "has no names of arrays"),
        (_changed(lambda file: file["fc"].attrs.__setitem__("weight_names", [b"fc"])), "'fc' in it is not an array"),
        (_linked(h5py.SoftLink("/fc/fc/bias:0")), "is a link, which is not followed"),
        (_linked(h5py.ExternalLink("/etc/passwd", "x")), "is missing in it|is a link"),
        (_instead(_virtual), "in pieces or in another file"),
        (
            _instead(lambda g: g.create_dataset("kernel:0", (5, 2), "f4", external=[("/etc/passwd", 0, 40)])),
            "in pieces or in another file",
        ),
        (
            _instead(lambda g: g.create_dataset("kernel:0", (9999, 9999), "f4", chunks=(9, 9), compression="gzip")),
            "in pieces or in another file",
        ),
        (
            _instead(lambda g: g.create_dataset("kernel:0", (9999, 9999), "f4")),
            "have more bytes than the file, from layer 'fc' on",
        ),
        (_instead(lambda g: g.create_dataset("kernel:0", data=np.ones((5, 2), int))), "are not floats"),
        (_instead(lambda g: g.create_dataset("kernel:0", data=np.ones((5, 2, 2)))), "is no layer that can be read"),
        (lambda folder: write_named(folder / "w.h5", [("m", "Model", [some(2, 2)] * 5)]), "5 arrays: it is a model"),
        (_nested, "its layer 'functional' is a model; save that one's weights"),
        (lambda folder: write_named(folder / "w.h5", [("a", "Flatten", [])]), "no layer in it has weights"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_line(write: Callable[[Path], Path], told: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=told) as caught:
        read_checkpoint(write(tmp_path))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_an_array_that_two_layers_share_is_counted_each_time(tmp_path: Path) -> None:
    path = write_named(tmp_path / "w.h5", [("a", "Dense", [some(99, 99)])])
    with h5py.File(path, "r+") as file:
        file.attrs["layer_names"] = [f"{number}".encode() for number in range(20)]
        for number in range(20):
            file[str(number)] = file["a"]
    with pytest.raises(RequestError, match="have more bytes than the file"):
        read_checkpoint(path)


def test_a_whole_keras_model_is_refused_with_what_to_save(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04")
    with pytest.raises(RequestError, match=r"whole Keras model, .* save its weights .*model\.save_weights\('model"):
        read_checkpoint(tmp_path / "model.keras")


def test_damage_at_any_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    """A byte changed at each place of the structures, and the file cut off there."""
    whole = write_named(tmp_path / "w.h5", LAYERS, variable=True).read_bytes()
    tried = refused = 0
    for place in range(0, len(whole), 37):
        changed = bytearray(whole)
        changed[place] ^= (place % 255) + 1
        for content in (bytes(changed), whole[:place]):
            tried += 1
            try:
                found = read_keras(io.BufferedReader(io.BytesIO(content)), len(content))  # type: ignore[arg-type]
            except RequestError as error:
                refused += 1
                assert "\n" not in str(error)
            else:
                assert sum(array.nbytes for array in found.values()) <= 2 * len(content)
    assert tried > refused > tried // 2


def test_the_file_stays_as_it_is(tmp_path: Path) -> None:
    path = write_named(tmp_path / "w.h5", LAYERS)
    before = path.read_bytes()
    path.chmod(0o400)
    read_checkpoint(path)
    assert path.read_bytes() == before
