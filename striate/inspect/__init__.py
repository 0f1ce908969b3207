"""Looking into networks: why an answer, what a unit answers to, what happens without a part."""

from __future__ import annotations

from striate.inspect.class_maps import ClassMap, class_map, grad_cam, stretched
from striate.inspect.occlusion import Occlusion, occlusion
from striate.inspect.sensitivity import Integrated, gradient, integrated_gradients, smooth_gradient
from striate.inspect.stages import StageMaps, receptive_fields, stage_by_stage

__all__ = [
    "ClassMap",
    "Integrated",
    "Occlusion",
    "StageMaps",
    "class_map",
    "grad_cam",
    "gradient",
    "integrated_gradients",
    "occlusion",
    "receptive_fields",
    "smooth_gradient",
    "stage_by_stage",
    "stretched",
]
