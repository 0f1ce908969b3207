"""The contracts of the kinds of networks that are no image classifiers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from striate.nets.check_captioner import CAPTIONER_CHECKS, CaptionerSubject
from striate.nets.check_classifier import CHECKS, gradients
from striate.nets.check_subject import CLOSE, COUNT, HALF_CLOSE, Found, Subject, gap, refused
from striate.nets.kinds import Detector, Segmenter, SelfOrganising, SequenceModel
from striate.tasks.detection import Detection
from striate.tasks.detection_arrays import FOUND_BOX, LOGITS, MOST, PREDICTED

_LEAST = 6  # symbols of a sequence: enough to cut one in two


class SegmenterSubject(Subject):
    """A network that gives a class for each pixel."""

    def outputs(self, count: int = COUNT) -> tuple[int, ...]:
        """The shape of the logits."""
        return (count, self.classes, *(side // _segmenter(self).stride for side in self.size))

    def loss(self, outputs: Tensor) -> Tensor:
        """Cross-entropy over pixels, of which each class has some."""
        places = outputs[:, 0].numel()
        return nn.functional.cross_entropy(outputs, (torch.arange(places) % self.classes).view(outputs[:, 0].shape))


class DetectorSubject(Subject):
    """A network that finds objects."""

    def outputs(self, count: int = COUNT) -> tuple[int, ...]:
        """The shape of the outputs."""
        return (count, _detector(self).rows(*self.size), LOGITS + self.classes)

    def loss(self, outputs: Tensor) -> Tensor:
        """Squares of boxes, centre-ness and logits, so that every weight has a gradient."""
        return outputs[..., PREDICTED.start :].square().mean() + outputs[..., LOGITS - 1 :].mean()


class SequenceSubject(Subject):
    """A network that reads symbols one after another."""

    def images(self, count: int = COUNT, size: tuple[int, int] | None = None, channels: int | None = None) -> Tensor:
        """The same sequences at every call, [count, length]."""
        generator = torch.Generator().manual_seed(1)
        length = max(_LEAST, (size or self.size)[1])
        symbols = channels or self.in_channels
        return torch.stack([torch.randint(symbols, (length,), generator=generator) for _ in range(count)])

    def outputs(self, count: int = COUNT) -> tuple[int, ...]:
        """The shape of the logits."""
        return (count, max(_LEAST, self.size[1]), self.classes)

    def loss(self, outputs: Tensor) -> Tensor:
        """Cross-entropy over all symbols."""
        return nn.functional.cross_entropy(outputs.flatten(0, 1), torch.arange(outputs[..., 0].numel()) % self.classes)


class SelfOrganisingSubject(Subject):
    """A network that learns by a rule of its own."""

    def images(self, count: int = COUNT, size: tuple[int, int] | None = None, channels: int | None = None) -> Tensor:
        """The same images at every call, none of their values below zero."""
        return super().images(count, size, channels).abs()


def _segmenter(subject: Subject) -> Segmenter:
    assert isinstance(subject.net, Segmenter)
    return subject.net


def _detector(subject: Subject) -> Detector:
    assert isinstance(subject.net, Detector)
    return subject.net


def _sequence_model(subject: Subject) -> SequenceModel:
    net = subject.seeded().eval()
    assert isinstance(net, SequenceModel)
    return net


def _self_organising(subject: Subject) -> SelfOrganising:
    net = subject.seeded().eval()
    assert isinstance(net, SelfOrganising)
    return net


def _segmenter_outputs(subject: Subject) -> Found:
    if subject.make is None:
        return
    for classes, channels in ((1, 1), (3, 4), (21, 3)):
        net = subject.make(classes, channels, subject.size).eval()
        shape = list(net(subject.images(2, channels=channels)).shape)
        if shape[:2] != [2, classes]:
            advice = "let the constructor's arguments decide the first and the last layer"
            yield f"made for {classes} classes and {channels} channels, 2 images give {shape}", advice


def _segmenter_refusals(subject: Subject) -> Found:
    net, channels, (height, width) = subject.seeded().eval(), subject.in_channels, subject.size
    assert isinstance(net, Segmenter)
    yield from refused(net, torch.zeros(1, channels + 1, height, width), f"images of {channels + 1} channels")
    if net.multiple > 1:
        yield from refused(net, torch.zeros(1, channels, height + 1, width), f"images of a height of {height + 1}")
    if net.minimum_size > 1:
        least = net.minimum_size - 1
        yield from refused(net, torch.zeros(1, channels, least, width), f"images of a height of {least}")


def _segmenter_sizes(subject: Subject) -> Found:
    net = subject.seeded().eval()
    assert isinstance(net, Segmenter)
    for times in ((1, 1), (2, 5)):
        height, width = (max(net.minimum_size, net.multiple) * n for n in times)
        shape = list(net(subject.images(1, (height, width))).shape)
        if shape != [1, subject.classes, height // net.stride, width // net.stride]:
            yield f"an image of {height} x {width} gives {shape}", "correct minimum_size, multiple or stride"


def _segmenter_half(subject: Subject) -> Found:
    net = subject.seeded().eval()
    with torch.no_grad():
        full = net(subject.images())
        half = net.to(torch.bfloat16)(subject.images().bfloat16()).float()
    # In the mean: where two pixels are nearly equal, rounding moves a maximum, and its value to another place.
    if not (far := float((full - half).abs().mean() / full.abs().mean())) < HALF_CLOSE:
        yield f"bfloat16 changes the logits by {far:.2f} of their mean", "compute sensitive sums in float32"


def _detector_outputs(subject: Subject) -> Found:
    if subject.make is None:
        return
    for classes, channels in ((1, 1), (3, 4), (21, 3)):
        net = subject.make(classes, channels, subject.size).eval()
        shape = list(net(subject.images(2, channels=channels)).shape)
        if shape[0] != 2 or shape[2] != LOGITS + classes:
            advice = "let the constructor's arguments decide the first and the last layer"
            yield f"made for {classes} classes and {channels} channels, 2 images give {shape}", advice


def _detector_refusals(subject: Subject) -> Found:
    net, channels, (height, width) = subject.seeded().eval(), subject.in_channels, subject.size
    yield from refused(net, torch.zeros(1, channels + 1, height, width), f"images of {channels + 1} channels")
    yield from refused(net, torch.zeros(1, channels, height + 1, width), f"images of a height of {height + 1}")


def _detector_sizes(subject: Subject) -> Found:
    net = subject.seeded().eval()
    assert isinstance(net, Detector)
    for times in ((1, 1), (2, 3)):
        height, width = (max(net.strides) * n for n in times)
        shape = list(net(subject.images(1, (height, width))).shape)
        if shape[1] != net.rows(height, width):
            yield f"an image of {height} x {width} gives {shape}", "correct strides"


def _detector_task(subject: Subject) -> Found:
    """The rows are such that the task gets detections and losses out of them, of each image by itself."""
    net, task = subject.seeded().eval(), Detection(tuple(f"class {place}" for place in range(subject.classes)))
    height, width = subject.size
    box = (subject.classes - 1, 0.2 * width, 0.2 * height, 0.8 * width, 0.9 * height, 0, 1.0)
    targets = torch.from_numpy(task.collate([(width, height, (box,)), (width, height, ())]))
    outputs = net(subject.images(2))
    losses = task.loss().torch(outputs, targets)
    if losses.shape != (2,) or not losses.isfinite().all() or not (losses > 0).all():
        yield f"losses of an image with an object and one without are {losses.tolist()}", "give the rows of a detector"
    elif (far := gap(losses[1:], task.loss().torch(outputs[1:], targets[1:]))) >= CLOSE:
        yield f"an image's loss depends on its batch (by {far:.1g} of it)", "give each image the same rows"
    losses.sum().backward()  # type: ignore[no-untyped-call]  # torch's
    if not all(one.grad is None or one.grad.isfinite().all() for one in net.parameters()):
        yield "the gradient of the loss is not finite", "limit the boxes that are predicted"
    found = task.predictions(outputs.detach().numpy())
    if found.shape != (2, MOST, 6) or not ((found[..., FOUND_BOX] >= 0) & (found[..., FOUND_BOX] <= 1)).all():
        yield f"detections are {list(found.shape)}, or beyond the image", "give boxes as shares of the sides"


def _continuation(subject: Subject) -> Found:
    net, symbols = _sequence_model(subject), subject.images()
    with torch.no_grad():
        whole = net(symbols)
        first, state = net.run(symbols[:, : _LEAST // 2])
        second, _ = net.run(symbols[:, _LEAST // 2 :], state)
        changed = symbols.clone()
        changed[:, -1] = (changed[:, -1] + 1) % subject.in_channels
        others = net(changed)
    if (far := gap(whole, torch.cat([first, second], 1))) >= CLOSE:
        yield f"two parts give other logits than the whole (by {far:.1g} of the largest)", "keep all of it in the state"
    if not torch.equal(whole[:, :-1], others[:, :-1]):
        yield "logits depend on later symbols", "read the sequence in one direction"
    if subject.in_channels > 1 and torch.equal(whole[:, -1], others[:, -1]):
        yield "the last symbol changes no logit", "let every step see its symbol"


def _sequence_outputs(subject: Subject) -> Found:
    if subject.make is None:
        return
    for classes, symbols in ((1, 1), (3, 4), (21, 21)):
        net = subject.make(classes, symbols, subject.size).eval()
        shape = list(net(subject.images(2, channels=symbols)).shape)
        if shape[0] != 2 or shape[2:] != [classes]:
            yield f"made for {classes} classes and {symbols} symbols, 2 sequences give {shape}", "let them decide it"


def _sequence_refusals(subject: Subject) -> Found:
    net, symbols = _sequence_model(subject), subject.images(1)
    yield from refused(net, symbols.float(), "sequences of floats")
    yield from refused(net, symbols[0], "symbols without a batch")
    yield from refused(net, torch.full_like(symbols, subject.in_channels), "symbols out of range")
    yield from refused(net, torch.full_like(symbols, -1), "symbols below zero")


def _responses(subject: Subject) -> Found:
    net, images = _self_organising(subject), subject.images()
    responses = net(images)
    if responses.ndim != 4 or len(responses) != COUNT:
        yield f"{COUNT} images give {list(responses.shape)}", "return responses [N, C, h, w]"
    elif not torch.isfinite(responses).all() or (responses < 0).any():
        yield "responses are not finite or below zero", "cells respond with at least 0"


def _no_gradients(subject: Subject) -> Found:
    net = _self_organising(subject)
    learning = [name for name, parameter in net.named_parameters() if parameter.requires_grad]
    if learning:
        yield f"{learning[0]} needs a gradient", "make weights with requires_grad=False: learn changes them"
    if not list(net.parameters()):
        yield "there are no weights", "keep weights as parameters, so that they are counted and saved"
    net.learn(subject.images(1)[0])
    if net(subject.images()).requires_grad:
        yield "responses carry a graph", "learn without autograd"


def _learning(subject: Subject) -> Found:
    nets = [_self_organising(subject) for _ in range(2)]
    images = subject.images()
    before = copy.deepcopy(nets[0].state_dict())
    with torch.no_grad():
        nets[0](images)
    if _changed(before, nets[0].state_dict()):
        yield "forward changes the state", "let learn alone change weights"
    for net in nets:
        for image in images:
            net.learn(image)
    if not _changed(before, nets[0].state_dict()):
        yield "learning changes nothing", "reinforce the cells that respond most"
    if _changed(nets[0].state_dict(), nets[1].state_dict()):
        yield "the same images, learned twice from the same start, give other weights", "use torch's global generator"
    # From another start, and after other images: only the state can make them equal.
    torch.manual_seed(1)
    other = _self_organising(subject)
    other.load_state_dict(nets[0].state_dict())
    if not torch.equal(other(images), nets[0](images)):
        yield "a network with the same state gives other responses", "keep every tensor that decides them in the state"


def _changed(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return any(not torch.equal(value, other[name]) for name, value in one.items())


def _self_organising_refusals(subject: Subject) -> Found:
    net, channels, (height, width) = _self_organising(subject), subject.in_channels, subject.size
    yield from refused(net, torch.zeros(1, channels + 1, height, width), f"images of {channels + 1} channels")
    if net.input_size is not None:
        yield from refused(net, torch.zeros(1, channels, height + 1, width), f"images of a height of {height + 1}")
    if net.minimum_size > 1:
        least = net.minimum_size - 1
        yield from refused(net, torch.zeros(1, channels, least, width), f"images of a height of {least}")


def _of(*names: str) -> dict[str, Callable[[Subject], Found]]:
    """Parts of a classifier's contract, by name."""
    return {name: CHECKS[name] for name in names}


SUBJECTS: dict[str, type[Subject]] = {
    "classifier": Subject,
    "segmenter": SegmenterSubject,
    "detector": DetectorSubject,
    "captioner": CaptionerSubject,
    "sequence-model": SequenceSubject,
    "self-organising": SelfOrganisingSubject,
}

CHECKS_OF: dict[str, dict[str, Callable[[Subject], Found]]] = {
    "classifier": CHECKS,
    "segmenter": {
        **_of("logits", "gradients", "state", "seed", "independence"),
        "outputs": _segmenter_outputs,
        "refusals": _segmenter_refusals,
        "sizes": _segmenter_sizes,
        "bfloat16": _segmenter_half,
        **_of("memory format", "export"),
    },
    "detector": {
        **_of("logits", "gradients", "state", "seed", "independence"),
        "outputs": _detector_outputs,
        "refusals": _detector_refusals,
        "sizes": _detector_sizes,
        "losses and detections": _detector_task,
        "bfloat16": _segmenter_half,
        **_of("memory format", "export"),
    },
    "captioner": {
        **_of("logits", "gradients", "state", "seed", "independence"),
        **CAPTIONER_CHECKS,
    },
    "sequence-model": {
        **_of("logits"),
        # A cell may begin with weights of zero, behind which gradients are zero until those have learned.
        "gradients": partial(gradients, rate=0.1),
        **_of("state", "seed", "independence"),
        "continuation": _continuation,
        "outputs": _sequence_outputs,
        "refusals": _sequence_refusals,
        **_of("export"),
    },
    "self-organising": {
        "responses": _responses,
        "no gradients": _no_gradients,
        "learning": _learning,
        "refusals": _self_organising_refusals,
        **_of("independence", "export"),
    },
}
