"""Nodes and constants of an ONNX graph, written one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Nodes:
    """prefix: of the names that are made."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """One node; the name of its output."""
        output = name or f"{self._prefix}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: np.ndarray[Any, Any]) -> str:
        """An array; its name."""
        name = f"{self._prefix}_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def whole(self, *values: int) -> str:
        """An int64 vector; its name."""
        return self.constant(np.array(values, np.int64))
