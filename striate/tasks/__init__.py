"""Tasks: what a model predicts for an image, one module per task. NumPy only at import."""

from striate.tasks.base import Evaluation, Task
from striate.tasks.captioning import Captioning
from striate.tasks.classification import Classification
from striate.tasks.detection import Detection
from striate.tasks.losses import Loss, Standardisation
from striate.tasks.multilabel import Multilabel
from striate.tasks.registry import register, task_from_dict
from striate.tasks.regression import Regression
from striate.tasks.segmentation import Segmentation
from striate.tasks.values import Answer, LabelError, Metric, Strata, Target, Targets, Wording

__all__ = [
    "Answer",
    "Captioning",
    "Classification",
    "Detection",
    "Evaluation",
    "LabelError",
    "Loss",
    "Metric",
    "Multilabel",
    "Regression",
    "Segmentation",
    "Standardisation",
    "Strata",
    "Target",
    "Targets",
    "Task",
    "Wording",
    "register",
    "task_from_dict",
]
