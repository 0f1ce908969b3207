"""What may happen to a training image, as one value with a text form: `flip=0.5 rotate=10 cutout=8`.

Every transform is off until it is named. The doing is in `striate.data.augment.batch`; here is neither NumPy nor torch.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from striate.errors import RequestError, unknown

FILLS = ("black", "edge", "mirror")
_BELONGS = {"aspect": "crop", "smooth": "elastic"}


def _key(default: Any, *, low: float = 0.0, high: float = math.inf, whole: str = "") -> Any:
    """A field: the range of its numbers, and which of them must be `whole`: all, or from 1 on."""
    return field(default=default, metadata={"low": low, "high": high, "whole": whole})


@dataclass(frozen=True)
class Augmentation:
    """What may happen to an image; all off by default. Raises RequestError for a value out of range.

    Geometry, in the order in which it happens, all of it in one resampling:
    crop, aspect: a window of `crop` (least, most) of the image's area and of width / height `aspect`, anywhere in it,
      is brought to the output's size (Szegedy et al. 2014, arXiv:1409.4842, section 6: 8 % to 100 %, 3/4 to 4/3).
    sizes: (side, share) pairs: the image is resized so that its shorter side has one of these lengths, drawn with
      these shares, and the output's size is cut out anywhere. One size alone is the plain random crop.
    scale: the picture appears (least, most) times as large; halving is as likely as doubling.
    flip: the probability that it is mirrored, left for right.
    shear, rotate: by up to so many degrees either way.
    shift: by up to so much down or up, right or left, in whole pixels: a number of pixels, or, below 1, a share of the
      output's shorter side (at least one pixel).
    elastic, smooth: every point is displaced by a random field, `elastic` pixels in root mean square along each axis,
      smoothed by a Gaussian of `smooth` pixels (Simard et al. 2003, section 2; their strength 34 at smoothness 4 is
      elastic=1.4).
    fill: what comes in from beyond the image: black, its edge, or its mirror image.
    Values, afterwards:
    colour: up to so many of 255 levels are added to each channel, each its own; the sum is clipped.
    lighting: the deviation of AlexNet's PCA lighting (Krizhevsky et al. 2012, section 4.1: 0.1).
    cutout: a square of so many pixels, or of this share of the shorter side, is blanked; its centre is anywhere in the
      image (DeVries, Taylor 2017, arXiv:1708.04552).
    drop: the share of the input's values that are blanked, each on its own. The others are not scaled up.
    mixup: the alpha of mix-up (Zhang et al. 2017, arXiv:1710.09412): images and their losses are mixed with those of a
      partner by a share from Beta(alpha, alpha).
    """

    crop: tuple[float, float] = _key((1.0, 1.0), low=0.01, high=1)
    aspect: tuple[float, float] = _key((0.75, 4 / 3), low=0.1, high=10)
    sizes: tuple[tuple[int, float], ...] = _key((), low=1, high=8192)
    scale: tuple[float, float] = _key((1.0, 1.0), low=0.1, high=10)
    flip: float = _key(0.0, high=1)
    shear: float = _key(0.0, high=60)
    rotate: float = _key(0.0, high=180)
    shift: float = _key(0.0, high=4096, whole="from 1")
    elastic: float = _key(0.0, high=100)
    smooth: float = _key(4.0, low=0.5, high=200)
    fill: str = _key("black")
    colour: int = _key(0, high=255, whole="all")
    lighting: float = _key(0.0, high=10)
    cutout: float = _key(0.0, high=4096, whole="from 1")
    drop: float = _key(0.0, high=0.95)
    mixup: float = _key(0.0, high=10)

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            _check(item, getattr(self, item.name))
        for name, owner in _BELONGS.items():
            if name in self._named() and owner not in self._named():
                raise RequestError(f"augmentation {name} says how {owner} is done, so name {owner} too")
        if self.sizes and self.crop != (1.0, 1.0):
            raise RequestError("augmentation takes crop or sizes, not both: each says which window is cut out")

    @classmethod
    def names(cls) -> list[str]:
        """Every field, in order."""
        return [item.name for item in dataclasses.fields(cls)]

    @classmethod
    def from_text(cls, text: str) -> Augmentation:
        """From words such as "photo rotate=10": presets and name=value, later words over earlier ones; "" is none.

        Pairs are written least..most (scale=0.9..1.1), sizes as side:share,... (sizes=144:0.5,188:0.3,256:0.2).
        Raises RequestError for an unknown name, with the nearest right one, a value out of range, or a name twice.
        """
        values: dict[str, Any] = {}
        given: set[str] = set()
        for word in text.split():
            name, equals, value = word.partition("=")
            if name in given:
                raise RequestError(f"augmentation names {name!r} twice in {text!r}")
            given.add(name)
            if not equals:
                if name not in PRESETS:
                    hint = [*PRESETS, *(f"{known}=..." for known in cls.names())]
                    raise unknown("augmentation", word, hint)
                values |= PRESETS[name]._named()
            elif name in cls.names():
                values[name] = _parsed(name, value)
            else:
                raise unknown("augmentation", name, cls.names())
        return cls(**values)

    def text(self) -> str:
        """The words that `from_text` reads back as this value; "none" where everything is off."""
        return " ".join(f"{name}={_shown(value)}" for name, value in self._named().items()) or "none"

    def only(self, name: str) -> Augmentation:
        """This one transform alone, with the fields that belong to it."""
        kept = [name, *(other for other, owner in _BELONGS.items() if owner == name)]
        kept += ["fill"] if name in ("scale", "shear", "rotate", "shift", "elastic") else []  # which look beyond it
        return Augmentation(**{key: value for key, value in self._named().items() if key in kept})

    def words(self, name: str) -> str:
        """What a transform does, for a person, with its values."""
        least, most = self.crop
        beyond = "" if self.fill == "black" else f", its {'edge' if self.fill == 'edge' else 'mirror image'} coming in"
        sizes = ", ".join(f"{side} ({percent(share / self._shares)})" for side, share in self.sizes)
        return {
            "crop": f"a window of {percent(least)} to {percent(most)} of the area, anywhere, brought to size",
            "sizes": f"resized to a shorter side of {sizes}, then cut out anywhere",
            "scale": f"{self.scale[0]:g} to {self.scale[1]:g} times as large{beyond}",
            "flip": f"mirrored, left for right, with a probability of {percent(self.flip)}",
            "shear": f"sheared by up to {self.shear:g} degrees either way{beyond}",
            "rotate": f"turned by up to {self.rotate:g} degrees either way{beyond}",
            "shift": f"shifted by up to {_length(self.shift)} along each axis{beyond}",
            "elastic": f"displaced by {self.elastic:g} px (root mean square), smooth over {self.smooth:g} px{beyond}",
            "colour": f"up to {self.colour} of 255 levels added to each channel, each its own",
            "lighting": f"levels added along the images' own axes of colour (AlexNet's), deviation {self.lighting:g}",
            "cutout": f"a square of {_length(self.cutout)} blanked, anywhere",
            "drop": f"{percent(self.drop)} of all values blanked",
            "mixup": f"mixed with a partner, by a share from Beta({self.mixup:g}, {self.mixup:g})",
        }[name]

    @property
    def _shares(self) -> float:
        return sum(share for _, share in self.sizes)

    @property
    def transforms(self) -> list[str]:
        """The names of the transforms that are on, in the order in which they happen."""
        return [name for name in self._named() if name not in (*_BELONGS, "fill")]

    @property
    def zooms(self) -> bool:
        """Whether a part of the image may be shown larger, so that images above the output's size show more."""
        return self.crop != (1.0, 1.0) or bool(self.sizes) or self.scale[1] > 1

    @property
    def resamples(self) -> bool:
        """Whether pixels are read from between the source's pixels, whatever the sizes."""
        return any(name in ("crop", "scale", "shear", "rotate", "elastic") for name in self._named())

    def _named(self) -> dict[str, Any]:
        """The fields that are not at their default."""
        pairs = ((item, getattr(self, item.name)) for item in dataclasses.fields(self))
        return {item.name: value for item, value in pairs if value != item.default}


def pixels_of(length: float, side: int) -> int:
    """A length in whole pixels: itself from 1 on, else that share of `side`, rounded down, but at least 1; 0 is 0."""
    return int(length) if length >= 1 or not length else max(1, int(length * side))


def percent(share: float) -> str:
    """0.0625 -> "6.25 %"."""
    return f"{100 * share:.3g} %"


def _length(length: float) -> str:
    return f"{length:g} pixels" if length >= 1 else f"{percent(length)} of the side"


def _check(item: dataclasses.Field[Any], value: Any) -> None:
    name, low, high = item.name, item.metadata["low"], item.metadata["high"]
    if name == "fill":
        if value not in FILLS:
            raise unknown("augmentation fill", str(value), FILLS)
        return
    numbers = [value]
    if isinstance(item.default, tuple):
        numbers = [side for side, _ in value] if name == "sizes" else list(value)
    for number in numbers:
        if not low <= number <= high:
            raise RequestError(f"augmentation {name} must lie in {low:g} to {high:g}, not {number!r}")
    whole = item.metadata["whole"] == "all" or name == "sizes" or (item.metadata["whole"] and numbers[0] >= 1)
    if whole and any(number != int(number) for number in numbers):
        raise RequestError(f"augmentation {name} counts in whole pixels or levels, not {numbers[0]!r}")
    if name == "sizes":
        if not all(0 < share < math.inf for _, share in value):
            raise RequestError(f"augmentation sizes need shares above 0, not {_shown(value)}")
    elif isinstance(value, tuple) and (len(value) != 2 or value[0] > value[1]):
        raise RequestError(f"augmentation {name} takes the least and the most, not {_shown(value)}")


def _parsed(name: str, text: str) -> Any:
    default = Augmentation.__dataclass_fields__[name].default
    try:
        if isinstance(default, str):
            return text
        if name == "sizes":
            pairs = [part.partition(":") for part in text.split(",")]
            return tuple((_whole(side), float(share) if colon else 1.0) for side, colon, share in pairs)
        if isinstance(default, tuple):
            least, dots, most = text.partition("..")
            if not dots:
                raise ValueError
            return float(least), float(most)
        return _whole(text) if isinstance(default, int) else float(text)
    except ValueError:
        example = {"sizes": "144:0.5,188:0.5", "pair": "0.8..1.2"}.get(
            "pair" if isinstance(default, tuple) and default else name, "a number"
        )
        raise RequestError(f"augmentation {name} takes {example}, not {text!r}") from None


def _whole(text: str) -> int:
    if not 0 <= float(text) < 1e9 or float(text) != int(float(text)):
        raise ValueError
    return int(float(text))


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        if value and isinstance(value[0], tuple):
            return ",".join(f"{_shown(side)}:{_shown(share)}" for side, share in value)
        return "..".join(_shown(part) for part in value)
    return str(int(value)) if value == int(value) else repr(float(value))


# Flips suit photographs; a mirrored digit or letter is another one, or none.
PRESETS = {
    "none": Augmentation(),
    "shift": Augmentation(shift=1 / 16),
    "shift+flip": Augmentation(shift=1 / 16, flip=0.5),
    "distortions": Augmentation(rotate=10, shear=10, scale=(0.9, 1.1), shift=1 / 16, elastic=1.0, smooth=4.0),
    "photo": Augmentation(crop=(0.35, 1.0), flip=0.5, colour=20),
}
