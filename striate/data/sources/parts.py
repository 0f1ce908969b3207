"""The parts of a data set by name: what people call training, validation and test images, in folders and in tables."""

from __future__ import annotations

import re

PARTS = ("train", "val", "test")
PART_NAMES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development", "eval", "evaluation", "holdout"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
SPLITS = ("train", "val", "validation", "dev", "eval", "holdout", "test")  # those to suggest, of the names above
# Words beside the one that names the part: "Train Set", "seg_train", "test_images", "val2017", "training_data".
_BESIDE = {"set", "sets", "data", "dataset", "image", "images", "img", "imgs", "photos", "split", "part", "seg", "out"}
_FOLD = re.compile(r"(?:cv|k)?[\W_]*(?:fold|split)[\W_]*[0-9]{1,3}", re.IGNORECASE)


def part_named(name: str) -> str:
    """The part that a folder's name or a word of a table means: "train", "val" or "test"; "" for none."""
    words = re.findall(r"[^\W\d_]+", name.casefold())
    if "".join(words) == "holdout" or words[:2] == ["hold", "out"]:
        return "val"
    left = [_without_ending(word) for word in words if word not in _BESIDE]
    return PART_NAMES.get(left[0], "") if len(left) == 1 else ""


def is_fold(name: str) -> bool:
    """Whether a folder's name is that of a fold of a cross-validation: fold1, fold_2, cv-fold-3."""
    return _FOLD.fullmatch(name.strip()) is not None


def _without_ending(word: str) -> str:
    """The word without a further one joined to it: trainset, testimages."""
    if word in PART_NAMES:
        return word
    return next((word.removesuffix(end) for end in _BESIDE if word.endswith(end) and word != end), word)
