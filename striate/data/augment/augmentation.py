"""The augmentation of training images, as one value: the `[augment]` table of a recipe with its preset filled in.

Every transform is off by default. They are applied by `striate.data.augment.batch`; this module imports no torch.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from striate.recipe.augment import OWNERS, Augment
from striate.recipe.keys import converted, keys_of


@dataclass(frozen=True)
class Augmentation:
    """The transforms of an image; all off by default. The keys and their ranges are documented in `Augment`.

    Raises RequestError for a value out of range, and for keys that exclude each other.
    """

    crop: tuple[float, float] = (1.0, 1.0)
    aspect: tuple[float, float] = (0.75, 4 / 3)
    shorter_side: tuple[tuple[int, float], ...] = ()
    scale: tuple[float, float] = (1.0, 1.0)
    flip: float = 0.0
    shear: float = 0.0
    rotate: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    elastic_sigma: float = 4.0
    fill: str = "black"
    colour: int = 0
    lighting: float = 0.0
    cutout: float = 0.0
    pixel_dropout: float = 0.0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        for name, value in self._named().items():
            object.__setattr__(self, name, converted(_keys()[name], value))
        Augment(preset="none", **self._named())  # raises for keys that exclude each other

    @classmethod
    def of(cls, table: Augment, auto: Mapping[str, Any] | None = None) -> Augmentation:
        """The augmentation of a table. auto: the keys of the preset "auto"; None: none. Raises RequestError."""
        return cls(**table.merged(auto))

    @classmethod
    def names(cls) -> list[str]:
        """Every field, in order."""
        return [item.name for item in dataclasses.fields(cls)]

    def label(self) -> str:
        """The keys that are on, as `--augment` takes them; "none" if everything is off."""
        return " ".join(f"{name}={_shown(value)}" for name, value in self._named().items()) or "none"

    def only(self, name: str) -> Augmentation:
        """This one transform alone, with the fields that belong to it."""
        kept = [name, *(other for other, owner in OWNERS.items() if owner == name)]
        kept += (
            ["fill"] if name in ("scale", "shear", "rotate", "shift", "elastic") else []
        )  # which read beyond the border
        return Augmentation(**{key: value for key, value in self._named().items() if key in kept})

    def words(self, name: str) -> str:
        """A description of a transform with its values."""
        least, most = self.crop
        beyond = "" if self.fill == "black" else f", border filled by {'edge' if self.fill == 'edge' else 'reflection'}"
        sizes = ", ".join(f"{side} ({percent(share / self._shares)})" for side, share in self.shorter_side)
        return {
            "crop": f"random crop of {percent(least)} to {percent(most)} of the area, resized",
            "shorter_side": f"resized to a shorter side of {sizes}, then random crop",
            "scale": f"scaled by {self.scale[0]:g} to {self.scale[1]:g}{beyond}",
            "flip": f"horizontal flip with a probability of {percent(self.flip)}",
            "shear": f"sheared by up to {self.shear:g} degrees either way{beyond}",
            "rotate": f"rotated by up to {self.rotate:g} degrees either way{beyond}",
            "shift": f"shifted by up to {_length(self.shift)} along each axis{beyond}",
            "elastic": f"displaced by {self.elastic:g} px (root mean square), sigma {self.elastic_sigma:g} px{beyond}",
            "colour": f"up to {self.colour} of 255 levels added to each channel independently",
            "lighting": f"PCA lighting (AlexNet's), standard deviation {self.lighting:g}",
            "cutout": f"a random square of {_length(self.cutout)} blanked",
            "pixel_dropout": f"{percent(self.pixel_dropout)} of all values blanked",
            "mixup": f"mixed with another image, weight from Beta({self.mixup:g}, {self.mixup:g})",
        }[name]

    @property
    def _shares(self) -> float:
        return sum(share for _, share in self.shorter_side)

    @property
    def transforms(self) -> list[str]:
        """The names of the active transforms, in the order of application."""
        return [name for name in self._named() if name not in (*OWNERS, "fill")]

    @property
    def zooms(self) -> bool:
        """Whether parts of the image may be enlarged, so that images above the output size give more detail."""
        return self.crop != (1.0, 1.0) or bool(self.shorter_side) or self.scale[1] > 1

    @property
    def resamples(self) -> bool:
        """Whether pixels are interpolated, whatever the sizes."""
        return any(name in ("crop", "scale", "shear", "rotate", "elastic") for name in self._named())

    def _named(self) -> dict[str, Any]:
        """The fields that are not at their default."""
        pairs = ((item, getattr(self, item.name)) for item in dataclasses.fields(self))
        return {item.name: value for item, value in pairs if value != item.default}


def pixels_of(length: float, side: int) -> int:
    """A length in integer pixels: itself from 1 on, else that fraction of `side`, rounded down, at least 1; 0 is 0."""
    return int(length) if length >= 1 or not length else max(1, int(length * side))


def percent(share: float) -> str:
    """0.0625 -> "6.25 %"."""
    return f"{100 * share:.3g} %"


def _length(length: float) -> str:
    return f"{length:g} pixels" if length >= 1 else f"{percent(length)} of the side"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        nested = bool(value) and isinstance(value[0], tuple)
        return (
            "[" + ",".join(f"[{_shown(side)},{_shown(share)}]" for side, share in value) + "]"
            if nested
            else ",".join(map(_shown, value))
        )
    return str(int(value)) if value == int(value) else repr(float(value))


@functools.cache
def _keys() -> dict[str, Any]:
    return {one.field: one for one in keys_of(Augment)}
