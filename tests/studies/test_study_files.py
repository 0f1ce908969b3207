"""Every study: its recipes are valid, its networks can be made, and its words are whole."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib

import pytest
import torch
from named_tests import ROOT, rendered_by

from striate.nets.build import create_classifier
from striate.nets.catalog import entry
from striate.recipe import Recipe
from striate.studies import catalog, published


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


def test_every_study_was_run_at_quick_and_at_cpu() -> None:
    records = [json.loads(path.read_text("utf-8")) for path in (ROOT / "benchmarks" / "records" / "studies").glob("*")]
    ran = {(one["study"], one["scale"]) for one in records if " --data " not in one["command"]}
    assert ran == {(name, scale) for name in catalog.names() for scale in ("quick", "cpu")}


def test_what_a_study_file_chooses_by_scale_it_chooses_for_all() -> None:
    tables = 0
    for name in catalog.names():
        study = catalog.study(name)
        module = sys.modules[f"{published.__name__}.{name.replace('-', '_')}"]
        for key, value in vars(module).items():
            if isinstance(value, dict) and value.keys() & set(study.scales):
                tables += 1
                assert value.keys() == study.scales.keys(), f"{name}: {key}"
    assert tables > 5


def test_schedules_of_studies_end_with_their_trainings() -> None:
    stepped = [recipe for recipe in recipes() if recipe.schedule.name == "step"]
    assert len(stepped) > 20
    for recipe in stepped:
        chosen = tomllib.loads(recipe.toml())
        steps, epochs = chosen["schedule"]["milestones"], chosen["train"]["epochs"]
        # That of one epoch, in `very-deep`, ends before the first of them.
        assert steps == sorted(set(steps)) and (steps[-1] < epochs or epochs == 1), recipe.toml()


@pytest.mark.slow
def test_no_claim_was_changed_after_its_first_record() -> None:
    """The commit before the one that first recorded a study has its claims as they are now."""
    if git("rev-parse", "--is-shallow-repository").strip() != "false":
        pytest.skip("the history is not here")
    records = "benchmarks/records/studies"
    log = git("log", "--reverse", "--diff-filter=A", "--format=commit %H", "--name-only", "--", records)
    first: dict[str, str] = {}
    commit = ""
    for line in filter(None, log.splitlines()):
        if line.startswith("commit "):
            commit = line.removeprefix("commit ")
        else:
            first.setdefault(line, commit)
    assert len(first) > 50
    for record, commit in first.items():
        if (ROOT / record).exists():
            study = json.loads((ROOT / record).read_text("utf-8"))["study"]
            file = f"striate/studies/published/{study.replace('-', '_')}.py"
            assert claims_of(git("show", f"{commit}^:{file}")) == claims_of((ROOT / file).read_text("utf-8")), record


def git(*words: str) -> str:
    """What Git answers; "" without it."""
    try:
        return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def claims_of(text: str) -> list[str]:
    """The calls of Claim in a file of Python, however they are laid out."""
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    found = [ast.dump(node) for node in calls if isinstance(node.func, ast.Name) and node.func.id == "Claim"]
    assert found
    return found
