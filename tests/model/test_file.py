"""The model file: it round-trips unchanged, and anything else is refused with one clear error."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import struct
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given, settings
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.inference.predictor import Predictor
from striate.model import Model, read, write
from striate.pixels import Pixels
from striate.storage import sha256_of
from striate.tasks import Classification, Multilabel


def small(**changes: Any) -> Model:
    generator = np.random.default_rng(0)
    tensors = {
        "stem.weight": generator.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "stem.count": np.array(7, np.int64),
        "stem.nothing": np.zeros((0, 3), np.float32),
        "stem.half": generator.normal(size=5).astype(np.float16),
        "stem.mask": np.array([True, False]),
        "head.weight": generator.normal(size=(2, 4)).astype(np.float32),
        "head.bias": np.zeros(2, np.float32),
    }
    facts: dict[str, Any] = {
        "net": "resnet8",
        "options": {"classes": 2, "in_channels": 3, "input_size": [32, 32], "options": {}},
        "task": Classification(("ants", "bées \U0001f41d \udce9")),
        "pixels": Pixels(32, 32, fraction=0.875, mean=(0.1, 2 / 3, 1e-7)),
        "tensors": tensors,
        "head": "head",
        "aliases": {"other.weight": "stem.weight"},
        "memory_format": "channels_last",
        "strategy": "features",
        "training": {"seed": 3, "list": [1, 2.5, None]},
        "metrics": {"accuracy": 0.1 + 0.2},
        "versions": {"striate": "0.1.0"},
    }
    return Model(**(facts | changes))


def content_of(model: Model) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "m", model)
        return (Path(folder) / "m").read_bytes()


GOOD = content_of(small())


def same(one: Model, other: Model) -> bool:
    """Whether two models are the same in everything, tensors bit for bit."""
    if one.tensors.keys() != other.tensors.keys():
        return False
    for name, tensor in one.tensors.items():
        twin = other.tensors[name]
        if (tensor.dtype, tensor.shape, tensor.tobytes()) != (twin.dtype, twin.shape, twin.tobytes()):
            return False
    facts = [
        {k: v for k, v in vars(model).items() if k in Model.__dataclass_fields__ and k != "tensors"}
        for model in (one, other)
    ]
    return facts[0] == facts[1]


def read_bytes(content: bytes) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.safetensors"
        path.write_bytes(content)
        return read(path)


def refused(content: bytes) -> str:
    """The one-line error, which names the file."""
    with pytest.raises(RequestError) as caught:
        read_bytes(content)
    assert "m.safetensors" in str(caught.value)
    return str(caught.value)


def parts(content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """The safetensors header, Striate's description in it, and the tensors' bytes."""
    length = struct.unpack("<Q", content[:8])[0]
    outer = json.loads(content[8 : 8 + length])
    return outer, json.loads(outer["__metadata__"]["striate"]), content[8 + length :]


def joined(outer: dict[str, Any] | str, body: bytes = b"") -> bytes:
    text = (outer if isinstance(outer, str) else json.dumps(outer)).encode()
    return struct.pack("<Q", len(text)) + text + body


def rewritten(change: Callable[[dict[str, Any]], object], model: Model | None = None) -> bytes:
    """A valid file whose description was changed on purpose, including the checksum."""
    outer, header, body = parts(content_of(model or small()))
    change(header)
    header.pop("sha256")
    outer["__metadata__"] = {"striate": json.dumps(header | {"sha256": sha256_of(json.dumps(header).encode())})}
    return joined(outer, body)


# Round trip


def test_round_trip() -> None:
    assert same(read_bytes(GOOD), small())
    assert read_bytes(GOOD).backbone_key == small().backbone_key


def test_equal_models_make_equal_files() -> None:
    assert content_of(small()) == GOOD == content_of(read_bytes(GOOD))


def test_a_transposed_or_sliced_tensor_is_saved_by_value() -> None:
    tensors = dict(small().tensors)
    tensors["stem.weight"] = np.asarray(np.arange(216, dtype=np.float32).reshape(3, 3, 6, 4)[:, :, ::2].T)
    model = small(tensors=tensors)
    assert same(read_bytes(content_of(model)), model)


@given(st.integers(0, 700))
@settings(max_examples=100, deadline=None)
def test_no_length_of_header_is_mistaken_for_another_format(padding: int) -> None:
    # The file starts with its header's length: some lengths look like a pickle, 0x4B50 like a zip.
    model = small(strategy="x" * padding)
    assert same(read_bytes(content_of(model)), model)


def test_a_header_whose_length_looks_like_a_zip_can_be_read() -> None:
    short = struct.unpack("<Q", content_of(small(strategy=""))[:8])[0]
    content = content_of(small(strategy="x" * (0x4B50 - short)))
    assert content[:2] == b"PK"
    assert read_bytes(content).net == "resnet8"


def test_overwriting_a_model_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from striate import storage
    from striate.errors import WorkError

    path = tmp_path / "m.safetensors"
    write(path, small())

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(WorkError, match="No space left on device"):
        write(path, small(net="lenet5"))
    assert same(read(path), small()) and list(tmp_path.iterdir()) == [path]


# Damage


@given(st.integers(0, len(GOOD) - 1))
@settings(max_examples=150, deadline=None)
@example(0)
@example(7)
@example(8)
@example(9)
@example(len(GOOD) - 1)
def test_a_file_cut_anywhere_is_refused(length: int) -> None:
    refused(GOOD[:length])


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
@settings(max_examples=400, deadline=None)
def test_a_byte_flipped_anywhere_is_refused_or_harmless(place: int, change: int) -> None:
    content = bytearray(GOOD)
    content[place] ^= change
    try:
        model = read_bytes(bytes(content))
    except RequestError as error:
        assert "\n" not in str(error)
    else:
        assert same(model, small())


def test_every_byte_of_the_description_is_checked() -> None:
    start = GOOD.index(b"__metadata__")
    end = GOOD.index(b"}", start)
    for place in range(start, end):
        content = bytearray(GOOD)
        content[place] ^= 1
        with contextlib.suppress(RequestError):
            assert same(read_bytes(bytes(content)), small()), place


def test_the_dtype_of_a_tensor_is_checked() -> None:
    assert b'"F32"' in GOOD
    outer, _, body = parts(GOOD)
    outer["stem.weight"]["dtype"] = "I32"
    assert "checksum" in refused(joined(outer, body))
    outer, _, body = parts(GOOD)
    outer["stem.weight"]["shape"] = [3, 4, 3, 3]
    assert "checksum" in refused(joined(outer, body))


def test_trailing_bytes_are_refused() -> None:
    refused(GOOD + b"\0")


@given(st.binary(max_size=300))
@example(b"")
@example(b"\xff" * 8)
@example(b"\xff" * 300)
@example(struct.pack("<Q", 2) + b"{}")
@example(struct.pack("<Q", 2) + b"[]")
@example(struct.pack("<Q", 0))
def test_noise_is_refused(content: bytes) -> None:
    refused(content)


# Other formats


def test_pickles_are_refused_and_never_opened(tmp_path: Path) -> None:
    mark = tmp_path / "code ran"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return (open, (str(mark), "w"))

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        line = refused(pickle.dumps(Evil(), protocol=protocol))
        assert "pickle" in line or protocol < 2  # older ones have no signature
    assert not mark.exists()


def test_a_torch_file_is_refused_as_a_pickle(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    for new in (True, False):
        torch.save({"weight": torch.zeros(3)}, tmp_path / "t.pth", _use_new_zipfile_serialization=new)
        assert "pickle" in refused((tmp_path / "t.pth").read_bytes())


def test_plain_safetensors_are_distinguished_from_a_model() -> None:
    for metadata in (None, {"format": "pt"}, {"striate_": "x"}):
        assert "not a Striate model" in refused(safetensors.numpy.save({"w": np.zeros(3)}, metadata))


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.safetensors", tmp_path / "a" / "b"):
        with pytest.raises(RequestError, match="cannot read the model"):
            read(path)


def test_a_newer_format_asks_for_an_upgrade() -> None:
    assert "upgrade Striate" in refused(rewritten(lambda header: header.update(format=5)))
    for number in (None, "1", 1.0, [], True):
        assert "no format number" in refused(rewritten(lambda header, n=number: header.update(format=n)))


def test_an_older_format_is_refused_in_one_line() -> None:
    for number in (1, 2, 3):
        said = refused(rewritten(lambda header, n=number: header.update(format=n)))
        assert f"has model format {number}, and this Striate reads 4; train or import the model again" in said


def test_task_and_extras_round_trip(tmp_path: Path) -> None:
    extras = {"mean_image": np.ones((32, 32, 3), np.float32), "strangers.centre": np.arange(4.0)}
    first = small(task=Multilabel(("a", "b"), (0.25, 0.5)), extras=extras)
    write(tmp_path / "m", first)
    again = read(tmp_path / "m")
    assert again.task == first.task and again.extras.keys() == extras.keys()
    assert all(np.array_equal(again.extras[name], extras[name]) for name in extras)
    assert first.backbone_key == again.backbone_key != small().backbone_key  # a mean image changes the net's input


def test_a_mean_image_of_another_size_is_refused() -> None:
    assert "does not fit its pixels" in refused(
        content_of(small(extras={"mean_image": np.ones((8, 8, 3), np.float32)}))
    )


# Wrong descriptions


KEYS = (
    "net", "options", "classes", "task", "pixels", "head", "aliases", "memory_format", "strategy", "training",
    "metrics", "versions", "checksums",
)  # fmt: skip
WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    **{f"no {key}": lambda header, key=key: header.pop(key) for key in KEYS},
    **{f"{key} is 3": lambda header, key=key: header.update({key: 3}) for key in KEYS},
    "a billion classes": lambda header: header["options"].update(classes=10**9),
    "no classes": lambda header: header.update(classes=[]),
    "one class more": lambda header: header["classes"].append("wasps"),
    "a class that is no text": lambda header: header.update(classes=[1, 2]),
    "too many classes": lambda header: header.update(classes=["x"] * 100_001),
    "a head that is not there": lambda header: header.update(head="tail"),
    "a head that is a backbone": lambda header: header.update(head="stem"),
    "pixels of nothing": lambda header: header.update(pixels={}),
    "pixels of words": lambda header: header["pixels"].update(mean=["a", "b", "c"]),
    "pixels of infinity": lambda header: header["pixels"].update(std=[float("inf")] * 3),
    "huge pixels": lambda header: header["pixels"].update(height=10**9),
    "a missing checksum": lambda header: header["checksums"].pop("stem.weight"),
    "a checksum too many": lambda header: header["checksums"].update({"w": "0"}),
    "another checksum": lambda header: header["checksums"].update({"stem.weight": "0"}),
    "a checksum that is no text": lambda header: header["checksums"].update({"stem.weight": []}),
    "an alias of nothing": lambda header: header.update(aliases={"a": "nothing"}),
    "an alias of a list": lambda header: header.update(aliases={"a": ["stem.weight"]}),
}  # fmt: skip


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_a_description_that_does_not_fit_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    refused(rewritten(change))


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("head.weight", np.zeros((3, 4), np.float32)), ("head.weight", np.zeros(2, np.float32)),
        ("head.weight", np.zeros((2, 4, 1), np.float32)), ("head.bias", np.zeros(3, np.float32)),
        ("head.bias", np.zeros((2, 1), np.float32)), ("head.bias", np.float32(0)),
    ],
)  # fmt: skip
def test_a_head_that_does_not_fit_its_classes_is_refused(name: str, tensor: np.ndarray) -> None:
    assert "head does not fit" in refused(content_of(small(tensors=small().tensors | {name: np.asarray(tensor)})))


def test_tensors_missing_or_added_are_refused() -> None:
    outer, _, _ = parts(GOOD)
    for change in ("missing", "added"):
        tensors = dict(small().tensors)
        if change == "missing":
            del tensors["stem.half"]
        else:
            tensors["more"] = np.zeros(3, np.float32)
        assert "missing or were added" in refused(safetensors.numpy.save(tensors, outer["__metadata__"]))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", '"x"', "\\ud800", "[" * 100_000, '{"format": 1e999}', "9" * 10_000]
)
def test_an_invalid_description_is_refused(text: str) -> None:
    refused(joined({"__metadata__": {"striate": text}}))


@pytest.mark.parametrize(
    "outer",
    ["", "{", "[]", "3", "null", "[" * 100_000, '{"a":' * 50_000, '{"__metadata__": 3}',
     '{"__metadata__": {"striate": 3}}', '{"__metadata__": {"striate": []}}', '{"__metadata__": []}', "9" * 10_000,
     "\0" * 16],
)  # fmt: skip
def test_an_invalid_header_is_refused(outer: str) -> None:
    refused(joined(outer))
    refused(joined(outer, b"\0" * 64))


def test_a_description_changed_without_its_checksum_is_refused() -> None:
    outer, header, body = parts(GOOD)
    header["pixels"]["mean"][0] += 10
    outer["__metadata__"]["striate"] = json.dumps(header)
    assert "damaged" in refused(joined(outer, body))


ABSURD: dict[str, Callable[[dict[str, Any]], object]] = {
    "tensors of a terabyte": lambda outer: outer["stem.weight"].update(shape=[2**20, 2**20]),
    "offsets beyond the file": lambda outer: outer["stem.weight"].update(data_offsets=[0, 2**40]),
    "negative offsets": lambda outer: outer["stem.weight"].update(data_offsets=[-1, 2]),
    "overlapping tensors": lambda outer: outer["head.weight"].update(data_offsets=outer["stem.weight"]["data_offsets"]),
    "a shape that overflows": lambda outer: outer["stem.weight"].update(shape=[2**63, 2**63]),
    "an unknown kind": lambda outer: outer["stem.weight"].update(dtype="F999"),
    "a kind NumPy lacks": lambda outer: outer["stem.half"].update(dtype="BF16"),
}


@pytest.mark.parametrize("change", ABSURD.values(), ids=ABSURD.keys())
def test_absurd_sizes_are_refused_and_nothing_big_is_allocated(change: Callable[[dict[str, Any]], object]) -> None:
    outer, _, body = parts(GOOD)
    change(outer)
    content = joined(outer, body)
    tracemalloc.start()
    try:
        refused(content)
        refused(rewritten(lambda header: header["options"].update(classes=10**9)))
        refused(struct.pack("<Q", 2**62) + GOOD[8:])
        assert tracemalloc.get_traced_memory()[1] < 50_000_000  # other threads are counted too
    finally:
        tracemalloc.stop()


# Valid files whose net does not fit: refused when the net is made


WRONG_NETS: dict[str, Callable[[dict[str, Any]], object]] = {
    "unknown net": lambda header: header.update(net="resnet21"),
    "net is a path": lambda header: header.update(net="../../etc/passwd"),
    "unknown option": lambda header: header["options"].update(options={"width": 3}),
    "options that are no options": lambda header: header["options"].update(options=[1]),
    "another key": lambda header: header["options"].update(device="cuda"),
    "huge channels": lambda header: header["options"].update(in_channels=10**9),
    "huge size": lambda header: header["options"].update(input_size=[10**9, 10**9]),
    "size of words": lambda header: header["options"].update(input_size="ab"),
    "too small": lambda header: header["options"].update(input_size=[1, 1]),
    "another net": lambda header: header.update(net="lenet5_plain"),
    "its own tensors": lambda header: None,
}


@pytest.mark.parametrize("change", WRONG_NETS.values(), ids=WRONG_NETS.keys())
@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_net_that_does_not_fit_its_file_is_refused(change: Callable[[dict[str, Any]], object], engine: str) -> None:
    model = read_bytes(rewritten(change, small(aliases={})))
    with pytest.raises(RequestError):
        Predictor(model, engine=engine).predictions(np.zeros((1, 32, 32, 3), np.uint8))
