"""A network of Caffe as a net file: the layers of a prototxt as rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from striate.errors import RequestError, printable, shown
from striate.netfile.layer_rows import Layer, net_text
from striate.netfile.prototxt import Message, fields

# Without a part in the network: data, losses and what measures.
LEFT_OUT = frozenset(
    {"Data", "ImageData", "HDF5Data", "MemoryData", "DummyData", "Input", "Softmax", "SoftmaxWithLoss", "Accuracy",
     "Silence", "EuclideanLoss", "SigmoidCrossEntropyLoss"}
)  # fmt: skip
THROUGH = frozenset({"Split", "Flatten"})  # their output is their input: a fully connected row flattens by itself


def net_file(text: str, shape: tuple[int, int, int] | None = None) -> str:
    """The net file of a network that is written as a prototxt of Caffe, of training or of deployment.

    Data, losses, the softmax and auxiliary classifiers are left out. shape: channels, height and width of an image,
    where the prototxt does not say them. Raises RequestError, with the layer, for what a net file cannot say.
    """
    found = fields(text)
    return net_text(str(found.get("name", ["net"])[0]), shape or image_shape(found), _layers(found), "the prototxt")


def _layers(found: Message) -> Iterator[Layer]:
    """The layers in order. An output in place of its input gets a name of its own."""
    versions: dict[str, str] = {}
    before: Layer | None = None
    for number, one in enumerate((*found.get("layers", ()), *found.get("layer", ()))):
        if not isinstance(one, Mapping):
            raise RequestError(f"a layer of the prototxt is {shown(one)}, and no message")
        kind = FIRST_FORMAT.get(text_of(one, "type", ""), text_of(one, "type", ""))
        name = printable(text_of(one, "name", kind))
        inputs = tuple(versions.get(blob, blob) for blob in map(str, one.get("bottom", ())))
        tops = [str(top) for top in one.get("top", ())]
        if kind in LEFT_OUT or phase_of(one) == "TEST":
            continue
        if not inputs or len(tops) != 1:
            raise RequestError(f"layer {shown(name)} of the prototxt has {len(inputs)} inputs and {len(tops)} outputs")
        if kind in THROUGH:
            versions[tops[0]] = inputs[0]
            continue
        if kind == "Scale" and before is not None and before.kind == "BatchNorm" and inputs == (before.output,):
            versions[tops[0]] = before.output
            before = None
            continue
        output = f"{tops[0]}#{number}"
        versions[tops[0]] = output
        before = Layer(name, kind, inputs, output, _words(kind, one, name))
        yield before


def phase_of(one: Message) -> str:
    return next((text_of(rule, "phase", "") for rule in one.get("include", ()) if isinstance(rule, Mapping)), "")


def text_of(message: Message, field: str, default: str) -> str:
    value = message.get(field, [default])[0]
    return str(value)


def image_shape(found: Message) -> tuple[int, int, int]:
    """Channels, height and width, from an Input layer, `input_dim`, `input_shape`, or the crop of the data."""
    dims = [str(dim) for dim in found.get("input_dim", ())]
    for shape in found.get("input_shape", ()):
        dims = dims or [str(dim) for dim in shape.get("dim", ())]
    for one in (*found.get("layers", ()), *found.get("layer", ())):
        for part in one.get("input_param", ()):
            dims = dims or [str(dim) for shape in part.get("shape", ()) for dim in shape.get("dim", ())]
        for part in (*one.get("transform_param", ()), *one.get("data_param", ())):
            if not dims and "crop_size" in part:
                dims = ["1", "3", *2 * [text_of(part, "crop_size", "")]]
    if len(dims) != 4 or not all(re.fullmatch(r"\d{1,6}", dim, re.ASCII) for dim in dims):
        raise RequestError("the prototxt does not say the shape of an image: give it, as channels, height, width")
    channels, height, width = (int(dim) for dim in dims[1:])
    return channels, height, width


def _words(kind: str, one: Message, name: str) -> str:
    """The words of a layer. Raises RequestError for a kind, or a value of it, that a net file has no word for."""
    if kind not in _LAYERS:
        raise RequestError(
            f"layer {name!r} of the prototxt is of the type {shown(kind)}, for which a net file has no word; "
            f"it has for {', '.join(_LAYERS)}"
        )
    try:
        return _LAYERS[kind](one)
    except (RequestError, ValueError) as error:
        raise RequestError(f"layer {name!r} of the prototxt: {error}") from error


def own_part(one: Message, name: str) -> Message:
    """A layer's own values."""
    part = one.get(name, [{}])[0]
    if not isinstance(part, Mapping):
        raise RequestError(f"{name} is {shown(part)}, and no message")
    return part


def whole_number(part: Message, field: str, default: int | None = None) -> int:
    value = text_of(part, field, "" if default is None else str(default))
    if not re.fullmatch(r"\d{1,8}", value, re.ASCII):
        raise RequestError(f"{field} is a whole number, not {shown(value)}")
    return int(value)


def both_sides(part: Message, field: str, short: str, default: int | None) -> tuple[int, int]:
    """Height and width of a kernel, a stride or a padding, which may be written as one number, two, or by side."""
    if f"{short}_h" in part or f"{short}_w" in part:
        return whole_number(part, f"{short}_h", default), whole_number(part, f"{short}_w", default)
    values = [str(value) for value in part.get(field, ())]
    if len(values) == 2:
        return whole_number({field: values[:1]}, field), whole_number({field: values[1:]}, field)
    both = whole_number(part, field, default)
    return both, both


def _window(part: Message) -> tuple[str, str, tuple[int, int], tuple[int, int]]:
    """Of a kernel: it and the stride as in a word, its sides, and the padding."""
    kernel = both_sides(part, "kernel_size", "kernel", None)
    stride = both_sides(part, "stride", "stride", 1)
    if stride[0] != stride[1]:
        raise RequestError(f"a stride of {stride[0]} x {stride[1]} has no word: both are equal in a net file")
    text = str(kernel[0]) if kernel[0] == kernel[1] else f"{kernel[0]}x{kernel[1]}"
    return text, str(stride[0]), kernel, both_sides(part, "pad", "pad", 0)


def _padding(padding: tuple[int, int]) -> str:
    return f" p{padding[0]}" if padding[0] == padding[1] else f" p{padding[0]}x{padding[1]}"


def _convolution(one: Message) -> str:
    part = own_part(one, "convolution_param")
    text, stride, kernel, padding = _window(part)
    dilation, groups = whole_number(part, "dilation", 1), whole_number(part, "group", 1)
    half = tuple((dilation * (side - 1) + 1) // 2 for side in kernel)
    words = f"conv{text}-{whole_number(part, 'num_output')}" + (f"/{stride}" if stride != "1" else "")
    words += (_padding(padding) if padding != half else "") + (f" groups={groups}" if groups > 1 else "")
    words += f" dilation={dilation}" if dilation > 1 else ""
    return words + (" nobias" if text_of(part, "bias_term", "true") == "false" else "")


def _pooling(one: Message) -> str:
    part = own_part(one, "pooling_param")
    pool = {"MAX": "maxpool", "0": "maxpool", "AVE": "avgpool", "1": "avgpool"}.get(text_of(part, "pool", "MAX"))
    if pool is None:
        raise RequestError(f"the pooling {text_of(part, 'pool', '')} has no word; MAX and AVE have")
    if text_of(part, "global_pooling", "false") == "true":
        return f"global{pool}"
    text, stride, _, padding = _window(part)
    # Caffe rounds the size of a pooling up, unless it is told not to.
    ceil = "" if text_of(part, "round_mode", "CEIL") == "FLOOR" else " ceil"
    return f"{pool}{text}/{stride}" + (_padding(padding) if padding != (0, 0) else "") + ceil


def _normalisation(one: Message) -> str:
    part = own_part(one, "lrn_param")
    values = [float(text_of(part, name, default)) for name, default in (("alpha", "1"), ("beta", "0.75"), ("k", "1"))]
    if text_of(part, "norm_region", "ACROSS_CHANNELS") != "ACROSS_CHANNELS" or whole_number(part, "local_size", 5) != 5:
        raise RequestError("local response normalisation has a word for 5 channels alone: local_size 5")
    if values != [1e-4, 0.75, 1]:
        raise RequestError("local response normalisation has a word for alpha 0.0001, beta 0.75 and k 1 alone")
    return "caffelrn"


def _rectified(one: Message) -> str:
    slope = float(text_of(own_part(one, "relu_param"), "negative_slope", "0"))
    return f"leaky-{slope:g}" if slope else "relu"


def _full(one: Message) -> str:
    part = own_part(one, "inner_product_param")
    return f"fc-{whole_number(part, 'num_output')}" + (
        " nobias" if text_of(part, "bias_term", "true") == "false" else ""
    )


def _sum(one: Message) -> str:
    part = own_part(one, "eltwise_param")
    if text_of(part, "operation", "SUM") not in ("SUM", "1") or any(float(one) != 1 for one in part.get("coeff", ())):
        raise RequestError("of the element-wise operations, the sum alone has a word")
    return ""


def _concatenation(one: Message) -> str:
    if whole_number(own_part(one, "concat_param"), "axis", 1) != 1:
        raise RequestError("maps are concatenated by their channels alone: axis 1")
    return ""


_LAYERS: Mapping[str, Callable[[Message], str]] = MappingProxyType(
    {
        "Convolution": _convolution,
        "Pooling": _pooling,
        "InnerProduct": _full,
        "ReLU": _rectified,
        "LRN": _normalisation,
        "Dropout": lambda one: f"dropout-{float(text_of(own_part(one, 'dropout_param'), 'dropout_ratio', '0.5')):g}",
        "BatchNorm": lambda _: "bn",
        "TanH": lambda _: "tanh",
        "Sigmoid": lambda _: "sigmoid",
        "ELU": lambda _: "elu",
        "Eltwise": _sum,
        "Concat": _concatenation,
    }
)
# The types of Caffe's first format.
FIRST_FORMAT: Mapping[str, str] = MappingProxyType(
    {
        "CONVOLUTION": "Convolution", "POOLING": "Pooling", "INNER_PRODUCT": "InnerProduct", "RELU": "ReLU",
        "LRN": "LRN", "DROPOUT": "Dropout", "TANH": "TanH", "SIGMOID": "Sigmoid", "ELTWISE": "Eltwise",
        "CONCAT": "Concat", "SOFTMAX": "Softmax", "SOFTMAX_LOSS": "SoftmaxWithLoss", "DATA": "Data",
        "ACCURACY": "Accuracy", "SPLIT": "Split", "FLATTEN": "Flatten", "IMAGE_DATA": "ImageData",
    }
)  # fmt: skip
