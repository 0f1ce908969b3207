"""The contract of each kind of net that is no image classifier, and what the verbs say to such a net."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import striate
from striate.anatomy.summary import describe
from striate.errors import RequestError
from striate.nets import catalog
from striate.nets.build import create, create_classifier, variants
from striate.nets.check import check_net
from striate.nets.check_kinds import CHECKS_OF, SUBJECTS
from striate.nets.enet import ENet
from striate.nets.kinds import Segmenter

OTHERS = [entry for entry in catalog.entries(tiny=True) if entry.kind != "classifier"]
TRIED = [entry for entry in OTHERS if entry.tiny]
by_name = {"ids": lambda entry: entry.name}


@pytest.mark.parametrize("entry", TRIED, **by_name)  # type: ignore[arg-type]
def test_a_net_keeps_the_contract_of_its_kind(entry: catalog.Entry) -> None:
    assert [str(failure) for failure in check_net(entry.name, classes=entry.classes or 10)] == []


def test_every_kind_has_a_class_checks_and_a_small_net() -> None:
    assert set(catalog.KINDS) == set(CHECKS_OF) == set(SUBJECTS)
    assert {entry.kind for entry in catalog.entries()} <= set(catalog.KINDS)
    assert {entry.file for entry in TRIED} == {entry.file for entry in OTHERS}
    for entry in catalog.entries(tiny=True):
        assert variants(entry.file)[entry.name].net.kind == entry.kind


@pytest.mark.parametrize("entry", OTHERS, **by_name)  # type: ignore[arg-type]
def test_rows_add_up_and_the_table_is_printed(entry: catalog.Entry) -> None:
    rows = describe(entry.name)
    assert sum(row.parameters for row in rows) == entry.parameters
    assert sum(row.madds for row in rows) == entry.madds
    shown = striate.show(entry.name)
    assert shown["table"].split() == variants(entry.file)[entry.name].table.split()
    assert shown["kind"] == entry.kind


class Shifted(ENet):
    """A segmenter whose logits depend on the batch."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits - logits.mean(0)


class Coarse(ENet):
    """A segmenter that gives fewer logits than it says."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :, ::2, ::2]


@pytest.mark.parametrize(
    ("made", "check", "found"),
    [
        (Shifted, "independence", "in evaluation mode an image's logits depend on its batch"),
        (Coarse, "logits", "4 images give [4, 3, 16, 16] in training mode, not [4, 3, 32, 32]"),
    ],
)
def test_what_a_segmenter_does_not_keep_is_told(made: type[Segmenter], check: str, found: str) -> None:
    torch.manual_seed(0)
    net: Any = made(classes=3, width=0.5)  # type: ignore[call-arg]
    failures = check_net(net, classes=3, input_size=(32, 32))
    assert failures[0].check == check and failures[0].found.startswith(found)


def test_a_classifier_is_asked_for_by_name() -> None:
    with pytest.raises(RequestError, match="enet_19 is a net of the kind segmenter"):
        create_classifier("enet_19")
    assert isinstance(create("enet_tiny"), Segmenter)


@pytest.mark.parametrize(
    "words",
    [
        "train mnist-5k --net enet_19",
        "train mnist-5k --net enet_19 --strategy scratch",
        "train mnist-5k --net enet_19 --recipe paper",
        "predict enet_19 image.png",
        "evaluate enet_19 mnist-5k",
        "export enet_19 --to onnx",
        "import weights.pth --net enet_19 --from torchvision",
        "fetch enet_19",
    ],
)
def test_a_verb_for_classifiers_says_what_there_is_instead(words: str, cli: Any) -> None:
    code, out, err = cli(*words.split())
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "enet_19 is a net of the kind segmenter (a class for each pixel), and this needs an image classifier" in err
    assert "'striate show enet_19', striate.create('enet_19'), and its training: docs/nets/enet.md" in err


def test_a_segmenter_without_a_pretrained_network_has_no_features(cli: Any) -> None:
    code, out, err = cli(*["train", "mnist-5k", "--net", "enet_19", "--strategy", "features"])
    assert (code, out) == (2, "")
    assert err.endswith("needs a segmenter on a pretrained network (fcn_lite0), not 'enet_19'\n")
