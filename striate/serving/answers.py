"""What stands behind the name of a model: from the bytes of images to answers, whatever the application is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from striate.serving.asked import Asked
from striate.serving.protocol import Output, Values
from striate.web.refusals import Refused

# Parameters of `/predict`, and the models that have them.
OF = {
    "score": "models of boxes",
    "mask": "models of masks",
    "size": "networks of style",
    "keep_colours": "networks of style",
}


class Seen(NamedTuple):
    """What `Answers.rows` gives for an image, and the width and height of the image, upright."""

    row: Any
    size: tuple[int, int]


class Answers(ABC):
    """One model: an image is opened on a thread for decoding, some are run together on one for the model.

    engine_name, precision: of the network. answers_to: what it has of `OF`. most: images that may wait, where that is
    fewer than the limits have. pixels: of an image, likewise.
    """

    engine_name: str
    precision: str
    answers_to: frozenset[str]
    most: ClassVar[int | None] = None
    pixels: ClassVar[int | None] = None

    @property
    @abstractmethod
    def kind(self) -> str:
        """The task or application, in a word."""

    @abstractmethod
    def opened(self, content: bytes, asked: Asked) -> tuple[Any, tuple[int, int]]:
        """An image file as `rows` takes it, and the width and height of the image, upright.

        Raises UnreadableImage, and RequestError for an image that the application cannot use.
        """

    @abstractmethod
    def rows(self, images: Sequence[Any]) -> list[Any]:
        """For each of the opened images what was found."""

    @property
    def callers(self) -> int:
        """How many threads should call `rows` at a time. It opens the engine."""
        return 1

    def measured_batch(self) -> int:
        """The number of images that a call of `rows` should have, at most. It opens the engine."""
        return 1

    def forget_weights(self) -> None:  # noqa: B027  (most have nothing to let go of)
        """Let go of weights that only others than `rows` need."""

    def require(self, asked: Asked) -> None:
        """Raise Refused for a parameter that this model does not have, before the image is read."""
        for name, models in OF.items():
            value = getattr(asked, name)
            if name not in self.answers_to and value is not None and value is not False:
                raise Refused(400, f"{name} is of {models}; the task of this one is {self.kind}")

    @abstractmethod
    def answer(self, seen: Seen, asked: Asked) -> dict[str, Any] | bytes:
        """For `/predict`: JSON values beside the model's name, or the bytes of a PNG."""

    @abstractmethod
    def outputs(self) -> list[Output]:
        """The outputs of the open inference protocol; a side of -1 differs between requests."""

    @abstractmethod
    def values(self, seen: Sequence[Seen]) -> Mapping[str, Values]:
        """The values of `outputs` for images."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Further facts for the model's metadata."""
