"""Every study: its recipes are valid, its networks can be made, and its words are whole."""

from __future__ import annotations

import json

import pytest
import torch
from named_tests import ROOT, rendered_by

from striate.nets.build import create_classifier
from striate.nets.catalog import entry
from striate.recipe import Recipe
from striate.studies import catalog


def recipes() -> list[Recipe]:
    """Of every arm of every study at every scale."""
    found = []
    for name in catalog.names():
        study = catalog.study(name)
        for scale, chosen in study.scales.items() if study.compute is None else ():
            for arm in study.arms:
                settings = study.settings(arm, scale, 0)
                assert settings.pop("data.path", chosen.data), f"{name}, {scale}: no data"
                recipe = Recipe().updated({"strategy": "scratch", **settings})
                assert recipe.net.name and (recipe.train.epochs or recipe.strategy == "features"), (name, scale, arm)
                found.append(recipe)
    return found


def test_every_study_is_whole_and_its_recipes_are_valid() -> None:
    assert len(catalog.names()) >= 16 and len(recipes()) > 100
    for name in catalog.names():
        study = catalog.study(name)
        assert study.question.endswith("?") and study.published and study.claims and "quick" in study.scales
        assert all(scale.deviation and scale.time and scale.seeds >= 2 for scale in study.scales.values()), name


@pytest.mark.slow
def test_every_network_of_a_study_can_be_made() -> None:
    chosen = {f"{one.net.name} {one.net.options}": one for one in recipes() if one.strategy == "scratch"}
    assert len(chosen) > 20
    for one in chosen.values():
        known = entry(one.net.name or "")
        with torch.device("meta"):
            create_classifier(
                known.name, classes=10, in_channels=known.in_channels, input_size=known.input_size,
                options=one.net.options or {},
            )  # fmt: skip


def test_the_verdicts_of_the_documentation_are_those_of_the_records() -> None:
    text = (ROOT / "docs" / "verdicts.md").read_text("utf-8")
    assert text == rendered_by("render_verdicts"), "run python docs/render_verdicts.py"
    for path in (ROOT / "benchmarks" / "records" / "studies").glob("*.json"):
        facts = json.loads(path.read_text("utf-8"))
        study = catalog.study(facts["study"])
        assert [claim["claim"] for claim in facts["claims"]] == [claim.text for claim in study.claims]
