"""Why-maps beside captum's and grad-cam's: the same network, the same images, the same maps. `make peers` runs it.

Gradient, integrated gradients, occlusion and class maps of three small networks with random weights, in float64 where
nothing else is said. Passed: no value differs by more than 1e-5 of the largest.
"""

from __future__ import annotations

import json

import numpy as np
import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion, Saliency
from numpy.typing import NDArray
from parity import unsettle, with_operators
from recording import write_record
from torch import Tensor, nn

from striate.inspect import class_map, grad_cam, gradient, occlusion
from striate.inspect.sensitivity import integrated_gradients
from striate.nets.build import create

LIMIT = 1e-5
NETS = {"resnet20": 32, "squeezenet1_1": 64, "efficientnet_lite0": 64}  # and the side of an image
STEPS, PATCH, STRIDE = 16, 16, 8
PACKAGES = ("torch", "captum", "grad-cam", "numpy")

Maps = NDArray[np.floating]


def apart(one: Maps, other: Maps) -> float:
    """The largest difference as a share of the largest value."""
    assert one.shape == other.shape
    return float(np.abs(one - other).max() / np.abs(other).max())


def by_captum(net: nn.Module, x: Tensor, output: int, layer: nn.Module) -> dict[str, Maps]:
    """Of one image [1, C, H, W]."""
    baseline = torch.zeros_like(x)
    steps = IntegratedGradients(net).attribute(x, baseline, output, n_steps=STEPS, method="riemann_middle")
    covered = Occlusion(net).attribute(
        x, sliding_window_shapes=(x.shape[1], PATCH, PATCH), strides=(x.shape[1], STRIDE, STRIDE), target=output
    )
    return {
        "gradient": Saliency(net).attribute(x, output, abs=False)[0].numpy(),
        "integrated gradients": steps[0].detach().numpy(),
        "occlusion": covered[0, 0].detach().numpy(),
        "Grad-CAM": LayerGradCam(net, layer).attribute(x, output)[0, 0].detach().numpy(),
    }


def by_us(net: nn.Module, x: Tensor, output: int, layer: str) -> dict[str, Maps]:
    """Of one image [1, C, H, W]."""
    return {
        "gradient": gradient(net, x, output)[0],
        # As many steps as captum's, whether they suffice or not.
        "integrated gradients": integrated_gradients(net, x[0], output, most_steps=STEPS).values,
        "occlusion": occlusion(net, x[0], output, patch=(PATCH, PATCH), stride=(STRIDE, STRIDE)).pixels,
        "Grad-CAM": grad_cam(net, x, output, layer)[0],
    }


def by_grad_cam(net: nn.Module, x: Tensor, output: int, layer: nn.Module) -> dict[str, Maps]:
    """Of one image [1, C, H, W]: without their cutting off of negative values and stretching of each map."""
    from pytorch_grad_cam import GradCAM, HiResCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    found = {}
    for name, kind in (("Grad-CAM of grad-cam", GradCAM), ("class map of HiResCAM", HiResCAM)):
        with kind(net, [layer]) as method:
            scores = method.activations_and_grads(x)
            scores[0, output].backward()
            maps, gradients = (rows[-1].numpy() for rows in (
                method.activations_and_grads.activations, method.activations_and_grads.gradients
            ))  # fmt: skip
            found[name] = method.get_cam_image(x, layer, [ClassifierOutputTarget(output)], maps, gradients, False)[0]
    return found


def row_of(name: str, side: int) -> dict[str, object]:
    """Compare on one network."""
    torch.manual_seed(0)
    net = create(name)
    x = torch.randn(2, 3, side, side)
    unsettle(net, x)
    net, image = net.eval().double(), x[:1].double()
    layer = net.stages[-1]  # type: ignore[index,union-attr]
    module, output = net.get_submodule(layer), 3
    ours, theirs = by_us(net, image, output, layer), by_captum(net, image, output, module)
    other = by_grad_cam(net, image, output, module)
    known = class_map(net, image, output, layer)
    ours |= {"Grad-CAM of grad-cam": ours["Grad-CAM"], "class map of HiResCAM": known.values[0] / known.values[0].size}
    found = {what: float(f"{apart(ours[what], value):.1e}") for what, value in (theirs | other).items()}
    return {
        "what": f"maps of {name}",
        "command": "benchmarks/inspect_peers.py",
        "n": 1,
        "largest_relative_difference": found,
        "passed": all(value <= LIMIT for value in found.values()),
    }


def main() -> None:
    """Compare, and write the record. Exit code 1 if a map differs."""
    kept = with_operators()  # registered while this object is alive
    torch.set_num_threads(1)
    rows = []
    for name, side in NETS.items():
        rows.append(row_of(name, side))
        print(json.dumps(rows[-1]), flush=True)
    write_record("inspect-peers", rows, PACKAGES)
    del kept
    failed = [str(row["what"]) for row in rows if not row["passed"]]
    if failed:
        raise SystemExit(f"different maps: {', '.join(failed)}")
    print(f"the maps of {len(rows)} networks agree within {LIMIT:g} of the largest value")


if __name__ == "__main__":
    main()
