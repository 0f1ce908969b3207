"""Operators in int8: the integers of weights and biases."""

from __future__ import annotations

import numpy as np
import pytest

from striate.interop.nhwc import Steps
from striate.interop.tflite_int8 import full


def test_an_output_whose_weights_are_0_keeps_its_bias() -> None:
    steps = Steps()
    steps.images = steps.value("images", (4, 4, 1))
    weight = steps.constant(np.array([0.5, 0.0, 1e-9], np.float32).reshape(3, 1, 1, 1))
    bias = steps.constant(np.array([0.25, -0.75, 1000.0], np.float32))
    options = {"padding": 0, "stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "activation": 0}
    steps.result = steps.operator("CONV_2D", (steps.images, weight, bias), steps.value("map", (4, 4, 3)), options)
    made = full(steps, {steps.images: (0.0, 2.55), steps.result: (-1.0, 1000.0)})
    (conv,) = (one for one in made.operators if one.code == "CONV_2D")
    images, weights, biases = (made.tensors[number] for number in conv.inputs)
    assert images.scales == pytest.approx((0.01,)) and weights.values is not None and biases.values is not None
    assert weights.scales is not None and biases.scales == pytest.approx(tuple(0.01 * one for one in weights.scales))
    assert weights.values.ravel().tolist() == [127, 0, 0]
    assert biases.values * np.array(biases.scales) == pytest.approx([0.25, -0.75, 1000.0], rel=1e-3)
