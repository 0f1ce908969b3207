"""What networks of the catalogue cost: parameters, multiply-adds and latency, without training."""

from __future__ import annotations

from striate.studies.study import LATENCY, Result

PARAMETERS, MADDS = "parameters, M", "multiply-adds, M"
SIZE = (224, 224)


def costs_of(name: str, seed: int) -> Result:
    """Counts of a network for 1,000 classes, and its latency for one image on one thread, measured anew."""
    import torch

    from striate.anatomy.summary import madds, parameters
    from striate.benchmarking.latency import net_latencies
    from striate.nets.build import create_classifier

    torch.manual_seed(seed)
    net = create_classifier(name, classes=1000, in_channels=3, input_size=SIZE, options={})
    counted = {PARAMETERS: parameters(net) / 1e6, MADDS: madds(net, SIZE) / 1e6}
    found = net_latencies({name: (net, (3, *SIZE))}, batch=1)[name]
    return Result({**counted, LATENCY: 1000 * found.median})
