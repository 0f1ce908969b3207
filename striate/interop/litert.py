"""TensorFlow Lite files as LiteRT runs them: their predictions, and the maps in between."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.inference.runtimes import import_litert
from striate.interop.graph import Array
from striate.pixels import Images


class LiteRT:
    """A file's content, run. Raises RequestError where LiteRT is not installed."""

    def __init__(self, content: bytes, *, keep_maps: bool = False, threads: int | None = None) -> None:
        litert = import_litert()
        # Its delegate computes operators together, so that the maps between them are nowhere.
        plain = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        kind = plain if keep_maps else litert.OpResolverType.AUTO
        self._run: Any = litert.Interpreter(
            model_content=content, num_threads=threads, experimental_op_resolver_type=kind,
            experimental_preserve_all_tensors=keep_maps,
        )  # fmt: skip
        self._shape: tuple[int, ...] = ()

    def predictions(self, images: Images) -> NDArray[np.float32]:
        """Of images [N, H, W, C], the file's output [N, outputs]."""
        given = self._run.get_input_details()[0]
        if images.shape != self._shape:
            self._run.resize_tensor_input(given["index"], images.shape)
            self._run.allocate_tensors()
            self._shape = images.shape
        self._run.set_tensor(given["index"], np.ascontiguousarray(images))
        self._run.invoke()
        return np.array(self._run.get_tensor(self._run.get_output_details()[0]["index"]), np.float32)

    def maps(self, image: Images, numbers: list[int]) -> dict[int, Array]:
        """Of an image [1, H, W, C], the tensors of these numbers."""
        self.predictions(image)
        return {number: self._run.get_tensor(number) for number in numbers}
