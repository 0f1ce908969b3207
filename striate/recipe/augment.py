"""The `[augment]` of a recipe: a preset, and keys that override it. The transforms are in `striate.data.augment`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from striate.errors import RequestError
from striate.recipe.keys import LOOP, Table, key

AUTO = "auto"
# Flips suit photographs; a mirrored digit or letter may be another one, or none.
PRESETS: dict[str, dict[str, Any]] = {
    "none": {},
    "shift": {"shift": 1 / 16},
    "shift+flip": {"shift": 1 / 16, "flip": 0.5},
    "distortions": {"rotate": 10, "shear": 10, "scale": (0.9, 1.1), "shift": 1 / 16, "elastic": 1.0},
    "photo": {"crop": (0.35, 1.0), "flip": 0.5, "colour": 20},
}
OWNERS = {"aspect": "crop", "elastic_sigma": "elastic"}  # parameters of another transform
ALL = (1.0, 1.0)  # a crop or scale without effect


@dataclass(frozen=True)
class Augment(Table):
    """How training images are augmented: an unset key has the preset's value, or is off.

    Geometric transforms, in order, composed into one resampling:
    crop, aspect: a random window of `crop` (min, max) of the image's area and of aspect ratio (width / height)
      `aspect` is resized to the input size (Szegedy et al. 2014, arXiv:1409.4842, section 6: 8 % to 100 %, 3/4 to 4/3).
    shorter_side: (side, probability) pairs: the image is resized so that its shorter side has one of these lengths,
      then cropped at random to the input size. A single side is the plain random crop.
    scale: zoom by a factor in (min, max), log-uniform.
    shift: pixels, or, below 1, a fraction of the input's shorter side (at least one pixel).
    elastic, elastic_sigma: Simard et al. 2003, section 2; their strength 34 at sigma 4 is elastic = 1.4.
    Transforms of the values, afterwards:
    lighting: Krizhevsky et al. 2012, section 4.1: 0.1. cutout: DeVries, Taylor 2017, arXiv:1708.04552.
    pixel_dropout: the other values are not scaled up. mixup: Zhang et al. 2017, arXiv:1710.09412.
    """

    TABLE: ClassVar[str] = "augment"
    RESETS: ClassVar[str] = "preset"
    STRATEGIES: ClassVar[tuple[str, ...]] = LOOP

    preset: str = key(AUTO, "preset that the keys below override; auto: chosen by the data", choices=(AUTO, *PRESETS))
    crop: tuple[float, float] | None = key(
        None, "random resized crop: range of its area, as a fraction of the image", low=0.01, high=1
    )
    aspect: tuple[float, float] | None = key(
        None, "aspect ratio (width / height) of the random resized crop; unset: [0.75, 1.3333]", low=0.1, high=10
    )
    shorter_side: tuple[tuple[int, float], ...] | None = key(
        None, "resize to one of these shorter sides, then random crop", unit="pixels", low=1, high=8192
    )
    scale: tuple[float, float] | None = key(None, "zoom by a factor in this range", low=0.1, high=10)
    flip: float | None = key(None, "probability of a horizontal flip", low=0, high=1)
    shear: float | None = key(None, "maximum shear angle, either way", unit="degrees", low=0, high=60)
    rotate: float | None = key(None, "maximum rotation angle, either way", unit="degrees", low=0, high=180)
    shift: float | None = key(
        None, "maximum translation: pixels, or below 1 a fraction of the side", low=0, high=4096, whole="from 1"
    )
    elastic: float | None = key(
        None, "elastic deformation: root mean square displacement", unit="pixels", low=0, high=100
    )
    elastic_sigma: float | None = key(
        None, "sigma of the Gaussian that smooths the deformation; unset: 4", unit="pixels", low=0.5, high=200
    )
    fill: str | None = key(None, "fill beyond the image border; unset: black", choices=("black", "edge", "mirror"))
    colour: int | None = key(
        None, "maximum level added to each channel, either way", unit="levels of 255", low=0, high=255
    )
    lighting: float | None = key(None, "standard deviation of AlexNet's PCA lighting", low=0, high=10)
    cutout: float | None = key(
        None, "side of the cut-out square: pixels, or below 1 a fraction of the side", low=0, high=4096,
        whole="from 1",
    )  # fmt: skip
    pixel_dropout: float | None = key(None, "fraction of the input values that are blanked", low=0, high=0.95)
    mixup: float | None = key(
        None, "alpha of mixup: the mixing weight is drawn from Beta(alpha, alpha)", low=0, high=10
    )

    def check(self) -> None:
        """The crop is given in one way; a parameter of another transform is given together with it."""
        values = self.merged()
        if values.get("crop", ALL) != ALL and values.get("shorter_side"):
            raise RequestError("augment.crop and augment.shorter_side both set the random crop: give one of them")
        for name, owner in OWNERS.items():
            if self.preset != AUTO and name in values and values.get(owner) in (None, 0, ALL):
                raise RequestError(f"augment.{name} is a parameter of augment.{owner}, so give augment.{owner} too")

    def merged(self, auto: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Every key's value, the preset's if unset; keys that are off may be missing.

        auto: the values of the preset "auto"; None: none.
        """
        preset = dict(auto or {}) if self.preset == AUTO else PRESETS[self.preset]
        return preset | self.keys_given()

    def keys_given(self) -> dict[str, Any]:
        """The keys that are set, with their values, without the preset."""
        return {name: value for name, value in self.given().items() if name != "preset"}

    def settled(self, auto: Mapping[str, Any]) -> Augment:
        """This table, with the preset "auto" replaced by its values."""
        return Augment(preset="none", **self.merged(auto)) if self.preset == AUTO else self


NO_AUGMENTATION = Augment(preset="none")
