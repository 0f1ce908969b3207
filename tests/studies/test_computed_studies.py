"""What studies compute, on little: searches, averages of networks, shifted digits, classifiers on features."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import striate
from striate.data.opening import open_source
from striate.data.sources.arrays import from_arrays
from striate.data.sources.base import with_items
from striate.errors import RequestError
from striate.nets.catalog import entry
from striate.recipe import Recipe
from striate.studies import catalog
from striate.studies.heads import Features, scored
from striate.studies.held_out import held_out, share_of
from striate.studies.published import dropout_average, ensembles, random_search, shift_tolerance
from striate.studies.study import TEST_ERROR, Arm, Context, Published, Result, Scale, Study
from striate.tasks import Classification

SETTINGS = {"optimizer.name": "momentum", "optimizer.lr": 0.05, "augment.preset": "none", "train.epochs": 1}


def computed(study: Study, label: str, data: str = "digits", seed: int = 0) -> Result:
    """An arm at `quick`, of a study that trains nothing; every fifth image."""

    def opened(name: str):  # type: ignore[no-untyped-def]
        source = open_source(name)
        return with_items(source, source.items[::5])

    def never(*_: object):  # type: ignore[no-untyped-def]
        raise AssertionError("nothing is trained")

    assert study.compute is not None
    return study.compute(Arm(label), Context("quick", seed, data, never, opened, never))


def test_a_search_by_chance_tries_a_rate_a_trial_and_a_grid_ten() -> None:
    grid, chance = (computed(random_search.STUDY, label) for label in (random_search.GRID, random_search.RANDOM))
    assert (grid.numbers[random_search.TRIED], chance.numbers[random_search.TRIED]) == (10, 100)
    for found in (grid, chance):
        errors = [row["error"] for row in found.curve]
        assert len(errors) == 100 and errors == sorted(errors, reverse=True)
        assert errors[-1] == found.numbers[random_search.BEST_MANY] < 15 < errors[0]
        assert found.numbers[random_search.BEST_FEW] >= 0


def test_trials_in_one_batch_are_those_of_networks_by_themselves() -> None:
    generator = torch.Generator().manual_seed(1)
    vectors, classes = torch.randn(300, 6, generator=generator), torch.randint(3, (300,), generator=generator)
    vectors[:, 0] += 3 * classes
    points = [(0.1, 1e-4), (1e4, 0.0), (1e-9, 0.0)]
    together = random_search._errors((vectors, classes, 200), points, 60, 0)
    assert together == [random_search._errors((vectors, classes, 200), [one], 60, 0)[0] for one in points]
    assert together[0] < 20 < together[2]


def test_the_neocognitron_keeps_its_cell_where_a_digit_is_moved() -> None:
    study = shift_tolerance.STUDY
    new, old, untrained = (computed(study, label) for label in shift_tolerance.ARMS[:3])
    kept, apart = shift_tolerance.KEPT, shift_tolerance.APART
    assert new.numbers[kept] > 80 > old.numbers[kept] and new.numbers[apart] == 5 > untrained.numbers[apart]
    assert [row["shift"] for row in new.curve] == [0, 1, 2, 3] and new.curve[0]["kept"] == 1


def test_classifiers_are_fitted_to_a_share_and_scored_on_the_rest() -> None:
    generator = np.random.default_rng(0)
    targets = np.repeat(np.arange(4), 50)
    matrix = (np.eye(4)[targets] * 2 + generator.normal(size=(200, 4))).astype(np.float32)
    found = Features(matrix, targets, tuple(map(str, range(200))), Classification(tuple("abcd")))
    whole, few = scored(found, 0), scored(found, 0, share=0.05)
    assert len(whole.wrong) == 40 and whole.wrong.keys() == few.wrong.keys() != scored(found, 1).wrong.keys()
    assert whole.numbers[TEST_ERROR] == pytest.approx(100 * sum(whole.wrong.values()) / 40)
    assert whole.numbers[TEST_ERROR] < few.numbers[TEST_ERROR] < 75
    assert scored(found, 0, kind="bayes").numbers[TEST_ERROR] < 30


def test_held_out_images_in_parts_without_one_in_common() -> None:
    images = np.zeros((10, 4, 4), np.uint8)
    source = from_arrays("toy", "toy", [("train", images, np.arange(10) % 2), ("test", images, np.arange(10) % 2)])
    whole = held_out(source)
    parts = [share_of(whole, place, 3, 3).items for place in range(3)]
    assert len(whole.items) == 10 and len({item.key for part in parts for item in part}) == 9
    wrong = whole.wrong(np.eye(2, dtype=np.float32)[np.zeros(10, int)])
    assert list(wrong.values()) == [0.0, 1.0] * 5
    with pytest.raises(RequestError, match="'plain' has no test images"):
        held_out(from_arrays("plain", "plain", [("", images, np.arange(10) % 2)]))


def small(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study on 200 digits and one seed, in place of the catalogue."""
    scale = Scale("digits", {**SETTINGS, **study.scales["quick"].recipe, "train.epochs": 1}, 1, "Less.", "seconds",
                  images=(200, 200))  # fmt: skip
    tiny = dataclasses.replace(study, scales={"quick": scale})
    monkeypatch.setattr(catalog, "study", lambda name: tiny)


def test_masks_of_dropout_are_averaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small(dropout_average.STUDY, monkeypatch)
    monkeypatch.setitem(dropout_average.MASKS, "quick", 6)
    (outcome,) = striate.reproduce(["dropout-average"], out=tmp_path).outcomes
    distance = {arm: outcome.values(arm, dropout_average.DISTANCE)[0] for arm in outcome.results}
    assert distance[dropout_average.SCALED] == 0 < distance[dropout_average.MEAN] < distance[dropout_average.ONE]
    curve = outcome.results[dropout_average.MEAN][0].curve
    assert [row["masks"] for row in curve] == [1, 2, 3, 5, 6] and len(list((tmp_path / "runs").iterdir())) == 1
    assert "Test error by masks averaged" in (tmp_path / "dropout-average-quick.html").read_text()


@pytest.mark.slow
def test_members_of_an_ensemble_are_scored_on_the_same_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small(ensembles.STUDY, monkeypatch)
    monkeypatch.setitem(ensembles.NETS, "quick", ("lenet5_plain", "lenet5", "lenet5_lecture"))
    (outcome,) = striate.reproduce(["ensembles"], out=tmp_path).outcomes
    results = [outcome.results[arm.label][0] for arm in ensembles.STUDY.arms]
    assert len({frozenset(one.wrong) for one in results}) == 1 and len(list((tmp_path / "runs").iterdir())) == 5
    single, _, different = results
    assert {round(3 * one) for one in single.wrong.values()} <= {0, 1, 2, 3}
    assert set(different.wrong.values()) <= {0.0, 1.0}
    assert outcome.findings[0].value == pytest.approx(single.numbers[TEST_ERROR] - different.numbers[TEST_ERROR])


def test_published_rows_name_arms_of_their_study() -> None:
    with pytest.raises(ValueError, match="the published row 'x' names no arm"):
        Study("s", "S", "q?", "x", "A1", (Published("x", "1", arm="c"),), (Arm("a"),), (), {})


def test_trainings_of_computed_studies_have_valid_recipes_at_every_scale() -> None:
    for study, nets in ((ensembles.STUDY, ensembles.NETS), (dropout_average.STUDY, {})):
        for scale in study.scales:
            for net in nets.get(scale, ("",)):
                chosen = {"net.name": entry(net).name} if net else {}
                recipe = Recipe().updated({"strategy": "scratch", **study.settings(study.arms[0], scale, 0), **chosen})
                assert recipe.net.name and recipe.train.epochs
