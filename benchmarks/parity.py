"""Parity with other libraries: the same weights give the same outputs. `make peers` runs it in their environment.

Each row takes a freshly initialised network of torchvision, timm, pytorchcv or Keras, gives its batch norms statistics
like those of a trained network (see unsettle), imports the weights by the key map of `striate import`, and compares the
logits of two images in eval mode, for two seeds; also those of auxiliary heads. Passed: no logit differs by more than
1e-4 of the largest, and the logits of the two images differ by at least 1e-2. Rows measured again replace those of the
same day.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from keras_peers import compared
from pairs import PAIRS, Pair
from recording import write_record
from torch import Tensor, nn

from striate.nets.build import create
from striate.nets.catalog import entry
from striate.weights.peers import converted, key_map_of

LIMIT = 1e-4
TELLING = 1e-2  # two images must differ by this much, or a network that ignores its input would agree too
SEEDS = (0, 1)
PACKAGES = ("torch", "torchvision", "timm", "pytorchcv", "keras", "h5py", "numpy")


def with_operators() -> torch.library.Library | None:
    """Make torchvision importable: with a CPU build of torch its operators do not load, and two are needed."""
    try:
        importlib.import_module("torchvision")
        return None
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    return library


def made(pair: Pair) -> nn.Module:
    """The peer, freshly initialised."""
    if pair.library == "torchvision":
        made_with: dict[str, Any] = {"init_weights": False} if "inception" in pair.peer else {}
        net: nn.Module = getattr(importlib.import_module("torchvision.models"), pair.peer)(weights=None, **made_with)
        if "inception" in pair.peer:
            net.transform_input = False  # type: ignore[assignment]
        return net
    if pair.library == "timm":
        return importlib.import_module("timm").create_model(pair.peer, pretrained=False)  # type: ignore[no-any-return]
    provider = importlib.import_module("pytorchcv.model_provider")
    return provider.get_model(pair.peer, pretrained=False)  # type: ignore[no-any-return]


@torch.no_grad()
def unsettle(net: nn.Module, x: Tensor) -> None:
    """Give every batch norm statistics near those of `x` [N, 3, H, W], so that no signal vanishes, and random
    parameters.

    Means are shifted by a normally distributed share of the standard deviation, variances multiplied by 0.5 to 1.5;
    scales are 0.5 to 1.5; shifts and biases are normally distributed.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum, norm.weight.data, norm.bias.data = 1.0, torch.ones_like(norm.weight), torch.zeros_like(norm.bias)
    if norms:
        net.train()(x)
        net.eval()
    for norm in norms:
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None and variance is not None
        mean += 0.1 * torch.randn_like(mean) * variance.sqrt()
        variance *= torch.empty_like(variance).uniform_(0.5, 1.5)
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(0, 0.1)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            module.bias.normal_(0, 0.05)


def transplanted(peer: nn.Module, pair: Pair) -> nn.Module:
    """Our network with the peer's weights."""
    arrays = {key: tensor.numpy() for key, tensor in peer.state_dict().items()}
    key_map = key_map_of(pair.net, pair.library, pair.peer)
    found, classes = converted(arrays, pair.net, key_map)
    net = create(pair.net, classes=classes, options=key_map.options)
    net.load_state_dict({key: torch.from_numpy(array) for key, array in found.items()})
    return net.eval()


def size_of(pair: Pair) -> int:
    """The side of an image: the network's own, or that in the peer's name; for SqueezeNet that of the other libraries'
    last pooling."""
    if pair.library == "keras" and "_" in pair.peer:
        return int(pair.peer.partition("_")[2])
    return 224 if pair.net.startswith("squeezenet") else entry(pair.net).input_size[0]


def precision_of(pair: Pair) -> torch.dtype:
    """pytorchcv's initial EfficientNets amplify rounding, block by block, to more than LIMIT: they need float64."""
    return torch.float64 if pair.library == "pytorchcv" and "efficientnet" in pair.net else torch.float32


def images(side: int, spots: int = 7) -> Tensor:
    """Two images of smooth colours, spots x spots of them: for white noise, every large average would be the same."""
    return 2 * F.interpolate(torch.randn(2, 3, spots, spots), (side, side), mode="bilinear")


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference as a share of the largest logit."""
    return float((one - other).abs().max() / other.abs().max())


@torch.inference_mode()
def differences(peer: nn.Module, net: nn.Module, x: Tensor) -> dict[str, float]:
    """Of the logits and, if both have them, the auxiliary logits; and between the two images."""
    theirs = peer(x)
    found = {"images": apart(theirs[0], theirs[1]), "scores": apart(net(x), theirs)}
    auxiliary = getattr(peer, "AuxLogits", None)
    if auxiliary is not None and hasattr(net, "forward_aux"):
        seen: list[Tensor] = []
        handle = peer.Mixed_6e.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        peer(x)
        handle.remove()
        found["auxiliary logits"] = apart(net.forward_aux(x)[1][0], auxiliary(seen[0]))
    return found


def row_of(pair: Pair, version: Callable[[str], str]) -> dict[str, object]:
    """Compare a pair."""
    largest: dict[str, float] = {}
    telling, precision = float("inf"), precision_of(pair)
    for seed in SEEDS:
        torch.manual_seed(seed)
        if pair.library == "keras":
            side = size_of(pair)  # a spot is as large as a place of the last map, whatever the size
            net, scores, theirs = compared(pair.net, pair.peer, images(side, max(3, side // 32)))
            found = {"images": apart(theirs[0], theirs[1]), "scores": apart(scores, theirs)}
        else:
            peer, x = made(pair).eval(), images(size_of(pair))
            unsettle(peer, x)
            net = transplanted(peer, pair).to(precision)
            peer, x = peer.to(precision), x.to(precision)
            found = differences(peer, net, x)
            del peer
        telling = min(telling, found.pop("images"))
        for what, difference in found.items():
            largest[what] = max(difference, largest.get(what, difference))
    begun = time.perf_counter()
    create(pair.net)
    built = time.perf_counter() - begun
    return {
        "what": f"{pair.net} as {pair.library}'s {pair.peer}",
        "command": "benchmarks/parity.py",
        "peer_version": version(pair.library),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "n": len(SEEDS),
        "largest_relative_difference": {what: float(f"{value:.2e}") for what, value in largest.items()},
        "images_apart": float(f"{telling:.2e}"),
        "precision": str(precision).removeprefix("torch."),
        "passed": all(value <= LIMIT for value in largest.values()) and telling >= TELLING,
        "seconds_to_build_ours": round(built, 2),
    }


def main() -> None:
    """Measure all pairs, or those of the nets named, and write the record. Exit code 1 if one does not agree."""
    from importlib.metadata import version

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nets", nargs="+", metavar="NET", help="only these networks")
    options.add_argument("--libraries", nargs="+", metavar="LIBRARY", help="only these libraries")
    options.add_argument("--peers", nargs="+", metavar="PEER", help="only these of the libraries' networks")
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    kept = with_operators()  # registered while this object is alive
    rows = []
    for pair in PAIRS:
        wanted = (chosen.nets, pair.net), (chosen.libraries, pair.library), (chosen.peers, pair.peer)
        if any(names and name not in names for names, name in wanted):
            continue
        rows.append(row_of(pair, version))
        print(json.dumps(rows[-1]), flush=True)
    write_record("parity", rows, PACKAGES)
    del kept
    failed = [str(row["what"]) for row in rows if not row["passed"]]
    if failed:
        raise SystemExit(f"different outputs: {', '.join(failed)}")
    print(f"{len(rows)} pairs agree within {LIMIT:g} of the largest logit")


if __name__ == "__main__":
    main()
