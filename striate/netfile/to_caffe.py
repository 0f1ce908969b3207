"""A net file as a prototxt of Caffe, for deployment: its rows, with blocks written out, as layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from striate.errors import RequestError
from striate.netfile.plan import Row, plan
from striate.netfile.shapes import Shape, after
from striate.netfile.text import NetText
from striate.netfile.words import Word

_PLAIN: Mapping[str, str] = MappingProxyType(
    {"relu": "ReLU", "tanh": "TanH", "sigmoid": "Sigmoid", "elu": "ELU", "flatten": "Flatten"}
)


def prototxt(text: NetText) -> str:
    """The network as Caffe's deployment prototxt, ending in a softmax.

    Raises RequestError, with the word, for a layer that Caffe does not have.
    """
    planned = plan(text, classes=text.classes, shape=text.input, parameters={})
    writer = _Writer(text.classes)
    last = writer.rows(planned.rows, "data")
    writer.layer("Softmax", [last], name="prob")
    shape = " ".join(f"dim: {side}" for side in (1, *text.input))
    head = f'name: "{text.name}"\nlayer {{\n  name: "data"\n  type: "Input"\n  top: "data"\n'
    head += f"  input_param {{ shape {{ {shape} }} }}\n}}\n"
    return head + "".join(writer.written)


@dataclass
class _Writer:
    classes: int
    written: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def layer(self, kind: str, inputs: list[str], *values: str, name: str = "") -> str:
        """Write a layer; gives its output."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        name = name or f"{kind.lower()}{self.counts[kind]}"
        lines = [f'name: "{name}"', f'type: "{kind}"', *(f'bottom: "{one}"' for one in inputs), f'top: "{name}"']
        self.written.append("layer {\n" + "".join(f"  {line}\n" for line in (*lines, *values)) + "}\n")
        return name

    def rows(self, rows: tuple[Row, ...], given: str) -> str:
        """Write rows whose input is the output `given`; gives the output of the last one."""
        edges = {"in": given}
        current = given
        for row in rows:
            source = current if row.source is None else edges[row.source]
            if row.concat:
                current = self.layer("Concat", [edges[name] for name in row.concat])
            elif row.add is not None:
                other = self.words(row.via, row.other, edges[row.add])
                current = self.layer("Eltwise", [source, other])
            elif row.block is not None:
                current = self.rows(row.block.rows, source)
            else:
                current = self.words(row.layers, row.before, source)
            if row.saved is not None:
                edges[row.saved] = current
        return current

    def words(self, words: tuple[Word, ...], shape: Shape, given: str) -> str:
        """Write the layers of words, the first of which takes the output `given`."""
        for word in words:
            kind, values = _layer(word, shape, self.classes)
            given = self.layer(kind, [given], *values)
            if kind == "BatchNorm":
                given = self.layer("Scale", [given], "scale_param { bias_term: true }")
            shape = after(word, shape, self.classes)
        return given


def _layer(word: Word, shape: Shape, classes: int) -> tuple[str, Iterator[str] | tuple[str, ...]]:
    """A layer's type and its own values."""
    outputs = classes if word.outputs is None else word.outputs
    bias = "" if word.bias else " bias_term: false"
    if word.kind in _PLAIN:
        return _PLAIN[word.kind], ()
    if word.kind in ("conv", "dwconv"):
        groups, outputs = (word.groups, outputs) if word.kind == "conv" else (shape[0], shape[0])
        more = (f" group: {groups}" if groups > 1 else "") + (
            f" dilation: {word.dilation}" if word.dilation > 1 else ""
        )
        return "Convolution", (f"convolution_param {{ num_output: {outputs} {_window(word)}{more}{bias} }}",)
    if word.kind in ("maxpool", "avgpool"):
        pool = "MAX" if word.kind == "maxpool" else "AVE"
        return "Pooling", (f"pooling_param {{ pool: {pool} {_window(word)}{_rounding(word, shape)} }}",)
    if word.kind in ("globalavgpool", "globalmaxpool"):
        pool = "MAX" if word.kind == "globalmaxpool" else "AVE"
        return "Pooling", (f"pooling_param {{ pool: {pool} global_pooling: true }}",)
    if word.kind == "fc":
        return "InnerProduct", (f"inner_product_param {{ num_output: {outputs}{bias} }}",)
    if word.kind == "bn":
        return "BatchNorm", ()
    if word.kind == "leaky":
        return "ReLU", (f"relu_param {{ negative_slope: {word.value:g} }}",)
    if word.kind == "caffelrn":
        return "LRN", ("lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }",)
    if word.kind == "dropout":
        return "Dropout", (f"dropout_param {{ dropout_ratio: {word.value:g} }}",)
    raise RequestError(f"Caffe has no layer for the word {word.kind!r} of this net file")


def _rounding(word: Word, shape: Shape) -> str:
    """Nothing where the size comes out even, as Caffe rounds up unless it is told not to."""
    other = replace(word, ceil=not word.ceil)
    return "" if word.ceil or after(word, shape, 1) == after(other, shape, 1) else " round_mode: FLOOR"


def _window(word: Word) -> str:
    sides = (("kernel", "kernel_size", word.kernel), ("pad", "pad", word.around))
    texts = [
        f"{name}: {pair[0]}" if pair[0] == pair[1] else f"{short}_h: {pair[0]} {short}_w: {pair[1]}"
        for short, name, pair in sides
    ]
    return " ".join([*texts, f"stride: {word.stride}"])
