"""A scikit-learn classifier of images: `ImageClassifier().fit(X, y).predict(X)`, in pipelines, searches and scorers.

Needs scikit-learn, an optional dependency: pip install 'striate[sklearn]'.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.inference.predictor import Predictor
from striate.jobs.train import train
from striate.model import Model
from striate.pixels import Images
from striate.recipe import Recipe

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import assert_all_finite, check_array, check_is_fitted, column_or_1d, validate_data
except ImportError as error:
    raise ImportError("striate.sklearn needs scikit-learn: pip install 'striate[sklearn]'") from error

# Checks of scikit-learn's `check_estimator` that this classifier is known to fail, each with its reason. There are
# none: flat X is accepted, so that every check runs. `fit` has no sample_weight: its check requires that a weight of
# two equals two copies of an image, which does not hold for minibatch training.
EXPECTED_FAILED_CHECKS: dict[str, str] = {}


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A convolutional network as a scikit-learn classifier, trained by `striate.train`.

    Parameters
    ----------
    net : "auto" or a network's name, as `striate.list_nets` lists them.
    strategy : "auto", "features" (a linear head on a pretrained network), "finetune" or "scratch".
    epochs, lr, batch : passes over the images, peak learning rate, batch size; None: chosen by Striate.
    augment : "auto", "none" or another preset of the recipe's table [augment].
    seed : random seed; equal seeds give equal models.
    image_shape : (height, width) or (height, width, 3) of flat X [N, D]. None: D values are laid out row by row in the
        smallest square that holds them, padded with black. A convolution needs the true neighbours: give the shape.
    engine : inference engine, "auto", "openvino" or "torch".

    Attributes
    ----------
    classes_ : the labels, sorted.  n_features_in_ : values per image.  model_ : the trained `striate.model.Model`.
    predictor_ : its `Predictor`; `predictor_.net` is the torch module.

    X is uint8 [N, H, W] or [N, H, W, 3], or flat [N, D]. Values of other types are scaled so that the least and the
    largest value of the training data become 0 and 255. All of X is trained on; nothing is held out.
    """

    def __init__(
        self,
        net: str = "auto",
        strategy: str = "auto",
        *,
        epochs: int | None = None,
        lr: float | None = None,
        batch: int | None = None,
        augment: str = "auto",
        seed: int = 0,
        image_shape: Sequence[int] | None = None,
        engine: str = "auto",
    ) -> None:
        self.net = net
        self.strategy = strategy
        self.epochs = epochs
        self.lr = lr
        self.batch = batch
        self.augment = augment
        self.seed = seed
        self.image_shape = image_shape
        self.engine = engine

    def fit(self, X: Any, y: Any) -> ImageClassifier:  # noqa: N803  (scikit-learn's name)
        """Train on images X, [N, H, W], [N, H, W, 3] or flat [N, D], and labels y [N]. Raises ValueError for others."""
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        values = self._checked(X, fitting=True)
        targets = column_or_1d(y, warn=True)
        assert_all_finite(targets, input_name="y", estimator_name=type(self).__name__)
        check_classification_targets(targets)
        if len(targets) != len(values):
            raise ValueError(
                f"X holds {len(values)} images, and y {len(targets)} labels; one label per image is needed"
            )
        self.classes_, encoded = np.unique(targets, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a classifier needs at least two classes; y has one class, {self.classes_[0]!r}")
        self._range = (float(values.min()), float(values.max()))
        with tempfile.TemporaryDirectory(prefix="striate-fit-") as folder:
            # Given as the part "train", so that nothing is held out.
            data = {"train": (self._images(values), encoded)}
            run = train(data, out=Path(folder) / "run", recipe=self._recipe())
        self.model_: Model = run.model
        self.predictor_ = Predictor(self.model_, engine=self.engine)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float32]:  # noqa: N803
        """Probabilities [N, classes] of images X, in the order of `classes_`."""
        check_is_fitted(self, "model_")
        values = self._checked(X, fitting=False)
        pixels, predictor = self.model_.pixels, self.predictor_
        images = self._images(values)
        crops = [predictor.crop(image, f"image {place}") for place, image in enumerate(images)]
        empty = np.zeros((0, pixels.height, pixels.width, pixels.channels), np.uint8)
        return predictor.predictions(np.stack(crops) if crops else empty)

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """The most probable label [N] of images X."""
        probabilities = self.predict_proba(X)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def __getstate__(self) -> dict[str, Any]:
        """The state without the engine, which belongs to its process."""
        state = dict(super().__getstate__())
        state.pop("predictor_", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore, with an engine of this process."""
        super().__setstate__(state)
        if "model_" in state:
            self.predictor_ = Predictor(self.model_, engine=self.engine)

    def __sklearn_tags__(self) -> Any:
        """Flat and image-shaped X are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _recipe(self) -> Recipe:
        asked = {
            "net.name": None if self.net == "auto" else self.net,
            "strategy": self.strategy,
            "train.epochs": self.epochs,
            "optimizer.lr": self.lr,
            "train.batch": self.batch,
            "augment.preset": self.augment,
            "seed": self.seed,
            "inference.engine": self.engine,
        }
        return Recipe().updated({key: value for key, value in asked.items() if value is not None})

    def _checked(self, given: Any, *, fitting: bool) -> NDArray[Any]:
        """X as an array of numbers, [N, D] or [N, H, W(, 3)], of the same kind as was fitted."""
        given = np.asarray(given) if isinstance(given, (list, tuple)) else given
        if len(getattr(given, "shape", ())) <= 2:
            return np.asarray(validate_data(self, given, reset=fitting, dtype="numeric"))
        values = np.asarray(check_array(given, allow_nd=True, dtype="numeric", estimator=self))
        if values.ndim == 4 and values.shape[3] == 1:
            values = values[..., 0]
        if values.ndim not in (3, 4) or values.shape[3:] not in ((), (3,)):
            raise ValueError(f"X must be images [N, H, W] or [N, H, W, 3], or flat [N, D], not {list(np.shape(given))}")
        features = math.prod(values.shape[1:])
        if fitting:
            self.n_features_in_ = features
        elif features != self.n_features_in_:
            raise ValueError(
                f"X has {features} features, but {type(self).__name__} is expecting {self.n_features_in_} features"
            )
        return values

    def _images(self, values: NDArray[Any]) -> Images:
        """Values [N, ...] as uint8 images [N, H, W] or [N, H, W, 3]."""
        if values.dtype != np.uint8:
            low, high = self._range
            scaled = (values.astype(np.float64) - low) * (255 / (high - low) if high > low else 0.0)
            values = scaled.round().clip(0, 255).astype(np.uint8)
        if values.ndim != 2:
            return values
        count, features = values.shape
        if self.image_shape is not None:
            shape = tuple(int(side) for side in self.image_shape)
            if len(shape) not in (2, 3) or math.prod(shape) != features:
                raise ValueError(f"image_shape {shape} does not hold the {features} values of an image in X")
            return values.reshape(count, *shape)
        side = math.isqrt(features - 1) + 1
        square = np.zeros((count, side * side), np.uint8)
        square[:, :features] = values
        return square.reshape(count, side, side)
