"""The contract of an image classifier, a function for each part of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from striate.errors import RequestError
from striate.nets.base import Net
from striate.nets.check_subject import CLOSE, COUNT, HALF_CLOSE, PASSES, Found, Subject, gap
from striate.nets.own import OwnNet


def _logits(subject: Subject) -> Found:
    for training in (True, False):
        mode = "training" if training else "evaluation"
        logits = subject.seeded().train(training)(subject.images())
        expected = subject.outputs()
        if not isinstance(logits, Tensor):
            yield f"forward gives a {type(logits).__name__} in {mode} mode", "return one tensor of logits"
        elif tuple(logits.shape) != expected:
            advice = "return logits [N, classes]; pool the last map and end in a linear layer of `classes` outputs"
            yield f"{COUNT} images give {list(logits.shape)} in {mode} mode, not {list(expected)}", advice
        elif not torch.isfinite(logits).all():
            yield f"logits are not finite in {mode} mode", "check divisions, logarithms and the initial weights"


def gradients(subject: Subject, rate: float = 0.0) -> Found:
    """What gets no gradient in some passes, between which the network learns at `rate`."""
    net = subject.seeded().train()
    aside = set(net.auxiliary_heads.values()) if isinstance(net, Net) else set()
    trained = {name: one for name, one in net.named_parameters() if one.requires_grad}
    expected = [one for name, one in trained.items() if name.split(".")[0] not in aside]
    for _ in range(PASSES):
        subject.loss(net(subject.images())).backward()  # type: ignore[no-untyped-call]  # torch's
        if all(one.grad is not None and one.grad.any() for one in expected):
            break
        with torch.no_grad():
            for one in expected:
                if one.grad is not None:
                    one.sub_(rate * one.grad)
    for name, parameter in trained.items():
        if name.split(".")[0] in aside:
            if parameter.grad is not None:
                yield f"{name} has a gradient from forward", "run auxiliary heads in forward_aux only"
        elif parameter.grad is None:
            yield f"{name} gets no gradient", "use it in forward, or do not make it"
        elif not torch.isfinite(parameter.grad).all():
            yield f"the gradient of {name} is not finite", "check divisions, logarithms and the initial weights"
        elif not parameter.grad.any():
            yield f"the gradient of {name} is zero", "something above it passes nothing back: a dead ReLU, a detach"


def _state(subject: Subject) -> Found:
    net, other = subject.seeded().eval(), subject.seeded(1).eval()
    images = subject.images()
    with torch.no_grad():
        if subject.make is None:
            for parameter in other.parameters():
                parameter.add_(1)
        if torch.equal(net(images), other(images)):
            yield "other weights give the same logits", "draw weights from torch's global generator, and use them"
        other.load_state_dict(net.state_dict())
        if not torch.equal(net(images), other(images)):
            advice = "keep every tensor that decides the logits as a parameter or a buffer"
            yield "a network with the same state gives other logits", advice


def _seed(subject: Subject) -> Found:
    logits = []
    for _ in range(2):
        net = subject.seeded().train()
        torch.manual_seed(2)
        logits.append(net(subject.images()))
    if not torch.equal(*logits):
        advice = "draw weights and dropout from torch's global generator only"
        yield "the same seed gives other logits in training mode", advice


def _independence(subject: Subject) -> Found:
    net, images = subject.seeded().eval(), subject.images()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        together, again = net(images), net(images)
        apart = torch.cat([net(image) for image in images.chunk(COUNT)])
    if not torch.equal(together, again):
        yield "in evaluation mode the same images give other logits", "make dropout and the like follow self.training"
    if (far := gap(together, apart)) >= CLOSE:
        advice = "let no image see another: use running statistics, and no mean over the batch"
        yield f"in evaluation mode an image's logits depend on its batch (by {far:.1g} of the largest)", advice
    changed = [name for name, value in net.state_dict().items() if not torch.equal(value, before[name])]
    if changed:
        yield f"a pass in evaluation mode changes {changed[0]}", "change buffers in training mode only"


def _outputs(subject: Subject) -> Found:
    if subject.make is None:
        return
    for classes, channels in ((1, 1), (3, 4), (100, 3)):
        channels = channels if subject.any_channels else subject.in_channels
        net = subject.make(classes, channels, subject.size).eval()
        shape = list(net(subject.images(2, channels=channels)).shape)
        if shape != [2, classes]:
            advice = "let the constructor's arguments decide the first and the last layer"
            yield f"made for {classes} classes and {channels} channels, 2 images give {shape}", advice


def _refusals(subject: Subject) -> Found:
    net = subject.seeded().eval()
    channels, least = subject.in_channels, getattr(net, "minimum_size", 1)
    wrong = [torch.zeros(1, channels + 1, *subject.size)]
    if not isinstance(net, OwnNet) and least > 1:
        wrong.append(torch.zeros(1, channels, least - 1, subject.size[1]))
    if isinstance(net, Net):
        for images in wrong:
            given = " x ".join(map(str, images.shape[1:]))
            try:
                net(images)
                yield f"images of {given} are accepted", "call self.check(x) before the first layer"
            except RequestError:
                pass
    small = torch.zeros(1, channels, 1, 1)
    try:
        logits = net(small)
    except Exception:  # any error for an image that is too small
        return
    if list(logits.shape) != [1, subject.classes] or not torch.isfinite(logits).all():
        yield "an image of one pixel gives no error and no right logits", "raise ValueError for images too small"


def _sizes(subject: Subject) -> Found:
    net = subject.seeded()
    if not isinstance(net, Net) or isinstance(net, OwnNet) or subject.make is None:
        return
    least = net.minimum_size
    for size in ((least, least), (max(45, least + 7), max(38, least))):
        made = subject.make(subject.classes, subject.in_channels, size if net.input_size else subject.size)
        shape = list(made.eval()(subject.images(1, size)).shape)
        if shape != [1, subject.classes]:
            yield f"an image of {size[0]} x {size[1]} gives {shape}", "correct minimum_size, or set input_size"
        if isinstance(made, Net) and made.input_size != (size if net.input_size else None):
            yield f"input_size is {made.input_size}", "set it to the only size the network takes, else to None"


def _memory_format(subject: Subject) -> Found:
    net, images = subject.seeded().eval(), subject.images()
    with torch.no_grad():
        plain = net(images)
        last = net.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    if (far := gap(plain, last)) >= CLOSE:
        yield f"channels_last changes the logits by {far:.1g} of the largest", "use reshape or flatten, not strides"


def _half(subject: Subject) -> Found:
    net = subject.seeded().eval()
    with torch.no_grad():
        full = net(subject.images())
        half = net.to(torch.bfloat16)(subject.images().bfloat16())
    if not torch.isfinite(half).all():
        yield "logits are not finite in bfloat16", "keep sums and powers in range: normalise before them"
    elif (far := gap(full, half)) >= HALF_CLOSE:
        yield f"bfloat16 changes the logits by {far:.2f} of the largest", "compute sensitive sums in float32"


def _export(subject: Subject) -> Found:
    net, images, two = subject.seeded().eval(), subject.images(3), subject.images(2)
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    graphs: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
        "traced": lambda: torch.jit.trace(net, two),  # type: ignore[no-untyped-call]  # torch's
        "exported": lambda: torch.export.export(net, (two,), dynamic_shapes=(batch,)).module(),
    }
    advice = "let forward follow shapes and not values: no branches on tensors, no fixed batch size"
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's warnings are tested below
        for what, make in graphs.items():
            try:
                far = gap(net(images), make()(images))
            except Exception as error:  # torch's, for code that cannot be traced
                yield f"it cannot be {what} for any batch size ({type(error).__name__})", advice
            else:
                if far >= CLOSE:
                    yield f"the {what} network gives other logits for another batch size", advice


def _parts(subject: Subject) -> Found:
    net = subject.seeded().eval()
    if not isinstance(net, Net):
        return
    images = subject.images()
    with torch.no_grad():
        embedding = net.embed(images)
        if not torch.equal(net(images), net.head(embedding)):
            yield "forward(x) is not head(embed(x))", "override embed, not forward"
        if isinstance(net, OwnNet):
            return
        if embedding.shape != (COUNT, net.embedding_size):
            yield f"embed gives {list(embedding.shape)}, not [{COUNT}, {net.embedding_size}]", "set embedding_size"
        maps, features = net.maps(images), net.features(images)
    if tuple(maps) != net.stages or not all(value.ndim == 4 and len(value) == COUNT for value in maps.values()):
        yield "maps are not one map [N, c, h, w] for each of stages", "list in stages what features runs, in order"
    if not torch.equal(maps[net.stages[-1]], features):
        yield "features are not the last of maps", "override neither, or both"
    if features.shape[:2] != (COUNT, net.feature_channels):
        yield f"features gives {list(features.shape)}", "set feature_channels to its channels"


CHECKS: dict[str, Callable[[Subject], Found]] = {
    "logits": _logits,
    "gradients": gradients,
    "state": _state,
    "seed": _seed,
    "independence": _independence,
    "outputs": _outputs,
    "refusals": _refusals,
    "sizes": _sizes,
    "memory format": _memory_format,
    "bfloat16": _half,
    "export": _export,
    "parts": _parts,
}
