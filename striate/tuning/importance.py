"""How much each key mattered, by Optuna's PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255)."""

from __future__ import annotations

import warnings

import optuna

from striate.tuning.search import Search

FEWEST = 8  # trials with a score: with fewer nothing is said


def importance(search: Search) -> tuple[dict[str, float], str]:
    """Each key's share, the largest first; or none, and why."""
    with search.place.errors():
        known = [one for one in search.study.get_trials(deepcopy=False) if one.state.name == "COMPLETE"]
    if len(known) < FEWEST:
        return {}, f"{len(known)} trials with a score are too few to say which key matters; {FEWEST} are needed."
    if len({one.value for one in known}) < 2:
        return {}, "All trials have the same score."
    if len(search.space.names) < 2:
        return {}, "Only one key was searched."
    try:
        with warnings.catch_warnings(), search.place.errors():
            warnings.simplefilter("ignore")
            found = optuna.importance.get_param_importances(search.study)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        return {}, f"It cannot be estimated from these trials: {str(error).splitlines()[0]}"
    return {name: float(share) for name, share in found.items()}, ""
