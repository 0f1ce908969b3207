"""Damaged and hostile files of other frameworks: RequestError and nothing else, before much memory is taken."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import foreign_nets as foreign
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.interop.graph import GraphBuilder
from striate.interop.nhwc_rows import lowered
from striate.interop.readers.layers import Builder
from striate.interop.readers.mxnet import read_params
from striate.interop.readers.opening import read_network
from striate.interop.readers.ordered import read_arrays
from striate.interop.readers.pickled import arrays_in
from striate.interop.readers.torch7_file import read
from striate.interop.savedmodel_export import saved_model
from striate.interop.tflite_file import tflite_content
from striate.nets.graph_net import LENET, read_rows
from striate.weights.caffemodel import read_caffemodel

MEMORY = 64 * 2**20  # bytes that reading a small file may take, however large the lengths that it declares
KINDS = [*foreign.FILES, "lasagne-npz", "theano-pkl"]


def files(kind: str) -> dict[str, bytes]:
    if kind in foreign.FILES:
        return foreign.FILES[kind]()
    arrays = [foreign.KERNEL, foreign.BIAS]
    if kind == "theano-pkl":
        return {"w.pkl": pickle.dumps(arrays, 2)}
    content = io.BytesIO()
    np.savez(content, *arrays)
    return {"w.npz": content.getvalue()}


def opened(kind: str, folder: Path) -> None:
    paths = [folder / name for name in files(kind)]
    if kind in foreign.FILES:
        read_network(paths[0], paths[1] if kind in foreign.APART else None, foreign.SHAPE)
    else:
        read_arrays(paths[0])


def survives(kind: str, folder: Path, name: str, content: bytes) -> None:
    """Opening the files of a kind, one of them with this content, succeeds or raises RequestError."""
    (folder / name).write_bytes(content)
    try:
        opened(kind, folder)
    except RequestError as error:
        assert "\n" not in str(error) and len(str(error)) < 1500


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_ends_early_is_refused(kind: str, tmp_path: Path) -> None:
    """At some hundred bytes of each here; at every one in the full run."""
    truncated(kind, tmp_path, 60)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_ends_at_any_byte_is_refused(kind: str, tmp_path: Path) -> None:
    truncated(kind, tmp_path, 10**9)


def truncated(kind: str, folder: Path, most: int) -> None:
    for name, content in files(kind).items():
        (folder / name).write_bytes(content)
    for name, content in files(kind).items():
        for length in range(0, len(content), max(1, len(content) // most)):
            survives(kind, folder, name, content[:length])
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes_are_read_or_refused(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    for name, content in files(kind).items():
        (tmp_path / name).write_bytes(content)
    name = data.draw(st.sampled_from(sorted(files(kind))))
    content = bytearray(files(kind)[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.sampled_from([0, 1, 2, 7, 127, 128, 255]))
    survives(kind, tmp_path, name, bytes(content))


def torch7_storage() -> bytes:
    return (
        struct.pack("<iii", 4, 1, 3) + b"V 1" + struct.pack("<i", 18) + b"torch.FloatStorage" + struct.pack("<q", 2**60)
    )


def pickle_array(dtype: bytes, side: bytes = b"K\1") -> bytes:
    """An array of a type of this name, and of 32 sides of this length."""
    return (
        b"\x80\2cnumpy.core.multiarray\n_reconstruct\n)R(K\1(" + side + b"q\x09" + b"h\x09" * 31 + b"tcnumpy\ndtype\n"
        + dtype + b"\x85R\x89C\4abcdtb."
    )  # fmt: skip


def pickle_coded() -> bytes:
    """A text of 100 kB, turned into bytes two thousand times."""
    text = b"X" + struct.pack("<I", 100_000) + b"a" * 100_000
    return b"\x80\2(c_codecs\nencode\nq\0" + text + b"q\1X\6\0\0\0latin1q\2" + b"h\0h\1h\2\x86R" * 2000 + b"l."


HUGE: dict[str, Callable[[], object]] = {
    "torch7-storage": lambda: read(torch7_storage()),
    "torch7-string": lambda: read(struct.pack("<ii", 2, 2**31 - 1)),
    "torch7-deep": lambda: read(b"".join(struct.pack("<iiiid", 3, place, 1, 1, 1) for place in range(1, 3000))),
    "mxnet-shape": lambda: read_params(
        struct.pack("<QQQIiI2q", 0x112, 0, 1, 0xF993FAC9, 0, 2, 2**31, 2**31) + bytes(12)
    ),
    "mxnet-count": lambda: read_params(struct.pack("<QQQ", 0x112, 0, 2**60)),
    "mxnet-magic": lambda: read_params(struct.pack("<QQQ", 0x113, 0, 0)),
    "caffe-blob": lambda: read_caffemodel(b"\xa2\x06\xff\xff\xff\xff\x7f"),
    "pickle-marks": lambda: arrays_in(b"\x80\x02" + b"N" * 20_000 + b"(t" * 20_000 + b"."),
    "pickle-coded": lambda: arrays_in(pickle_coded()),
    "pickle-zeros": lambda: arrays_in(
        b"\x80\x02cnumpy.core.numeric\n_frombuffer\n(\x8a\x05" + (2**33).to_bytes(5, "little") + b"NNNtR."
    ),
    "pickle-names": lambda: arrays_in(pickle_array(b"N" + b"q\x05h\x05\x86" * 40)),
    "pickle-sides": lambda: arrays_in(pickle_array(b"X\2\0\0\0f4", b"\x8b\x40\x42\x0f\0" + b"\x7f" * 10**6)),
    "pickle-bytes": lambda: arrays_in(b"\x80\x04\x8e" + struct.pack("<Q", 2**60)),
    "pickle-lists": lambda: arrays_in(b"\x80\x02]q\x00" + b"h\x00h\x00h\x00" * 1000 + b"e."),
    "rows-arrays": lambda: read_rows(LENET.replace("[500, 800]", "[500000, 800000]")),
    "rows-deep": lambda: read_rows("[" * 100_000),
    "rows-other": lambda: read_rows('[["forward", "relu", [], {}, {}]]'),
}


@pytest.mark.parametrize("case", HUGE)
def test_lengths_that_are_declared_are_held_against_what_is_there(case: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(RequestError):
            HUGE[case]()
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def test_one_array_of_a_file_does_not_become_that_of_any_number_of_layers() -> None:
    shared = np.broadcast_to(np.zeros((), np.float32), (2**14, 2**16))
    with pytest.raises(RequestError, match=r"'l' .*arrays .* more than 4,294,967,296 bytes"):
        Builder("any", (3, 8, 8)).add("linear", (Builder.INPUT,), "l", {}, {"weight": shared, "bias": np.zeros(1)})


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_is_not_read_for_each_that_has_its_name(tmp_path: Path) -> None:
    array = io.BytesIO()
    np.save(array, np.zeros(1000, np.float32))
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        for content in (b"", array.getvalue()):
            archive.writestr("a.npy", content)
    with pytest.raises(RequestError, match="two members of one name"):
        read_arrays(tmp_path / "w.npz")


def test_archives_that_unpack_to_gigabytes_are_not_unpacked(tmp_path: Path) -> None:
    for name, member in (("net.keras", "config.json"), ("net.zip", "configuration.json")):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for other in ("model.weights.h5", "coefficients.bin"):
                archive.writestr(other, b"")
            with archive.open(member, "w") as inside:
                for _ in range(70):
                    inside.write(bytes(2**20))
        (tmp_path / name).write_bytes(content.getvalue())
        with pytest.raises(RequestError, match="bytes"):
            read_network(tmp_path / name)


def of_tensorflow(channels: int = 1) -> dict[str, bytes]:
    """A convolution as a SavedModel and as TFLite, whose kernel is said to take a number of channels."""
    weight, bias = np.ones((2, 1, 3, 3), np.float32), np.zeros(2, np.float32)
    build = GraphBuilder()
    images = build.input((1, 8, 8))
    graph = build.graph(build.add("conv", images, name="c", arrays={"weight": weight, "bias": bias}))
    steps = lowered(graph, "TensorFlow Lite")
    steps.tensors = [
        replace(one, shape=(2, 3, 3, channels)) if one.name == "c.weight" else one for one in steps.tensors
    ]
    return {"m.tflite": tflite_content(steps, "maps", {}), "saved_model.pb": saved_model(graph, "maps")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["m.tflite", "saved_model.pb"])
def test_damaged_files_that_openvino_reads_are_read_or_refused(name: str, tmp_path: Path) -> None:
    content, random = of_tensorflow()[name], np.random.default_rng(0)
    path = tmp_path / name if name == "m.tflite" else tmp_path
    damaged = [content[: place * len(content) // 12] for place in range(12)]
    for _ in range(12):
        changed = bytearray(content)
        changed[int(random.integers(len(content)))] = int(random.choice([0, 1, 2, 7, 127, 128, 255]))
        damaged.append(bytes(changed))
    for one in damaged:
        (tmp_path / name).write_bytes(one)
        try:
            read_network(path)
        except RequestError as error:
            assert "\n" not in str(error) and len(str(error)) < 1500


def test_a_file_at_which_openvinos_reader_ends_the_process_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(of_tensorflow(1 - 2**31)["m.tflite"])
    with pytest.raises(RequestError, match="damaged: OpenVINO's reader breaks off"):
        read_network(tmp_path / "m.tflite")


@pytest.mark.parametrize("name", ["net.json", "net.keras", "net.h5", "net.t7", "net.zip", "net.onnx", "w.npz", "w.pkl"])
def test_files_of_another_kind_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    for content in (b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"{" * 50_000, json.dumps([1]).encode(), bytes(4096)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RequestError):
            if name.startswith("w"):
                read_arrays(tmp_path / name)
            else:
                read_network(tmp_path / name, tmp_path / name if name == "net.json" else None, foreign.SHAPE)
