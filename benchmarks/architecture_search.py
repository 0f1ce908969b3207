"""Random search, regularised evolution and reinforcement learning at an equal number of trials, over several seeds.

The digits set (1,797 images of 8 x 8 pixels), and the mobile space for that size: 5,184 networks. A trial trains from
the same seed, so a network has one reward, which all searches share; what is compared is how the samplers choose. Three
results are recorded for each sampler, with the 95 % interval of the mean over the seeds: the best reward found, the
mean reward of the last half of the trials, and the reward of the found network trained again from other seeds, which
shows what of the best reward was luck. The noise of one short training is recorded beside them.

    python benchmarks/architecture_search.py WORK [--budget 9] [--seeds 6] [--trials 24]

An invocation ends after `--budget` minutes, and the next one with the same WORK, a folder, goes on. The record is
written when all is done.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path

from recording import write_record

from striate import open_data
from striate.tasks.metrics import mean_interval
from striate.tuning.architecture.images import trial_images
from striate.tuning.architecture.mobile_space import mobile_space
from striate.tuning.architecture.objective import Objective, madds_target
from striate.tuning.architecture.samplers import SAMPLERS, sampler
from striate.tuning.architecture.search import Study, run_study
from striate.tuning.architecture.space import Point
from striate.tuning.architecture.trial import Judge, Trial, trial_recipe

COMMAND = "python benchmarks/architecture_search.py WORK"
IMAGES, EPOCHS, AGAIN = 400, 5, 2  # of a trial; trainings of a found network from other seeds


def main() -> None:
    """Run the searches, print and record them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder of the work")
    parser.add_argument("--budget", type=float, default=9.0, metavar="MINUTES", help="of this invocation (default: 9)")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--trials", type=int, default=24)
    chosen = parser.parse_args()
    ends = time.monotonic() + 60 * chosen.budget
    chosen.work.mkdir(parents=True, exist_ok=True)
    training, validation = trial_images(open_data("digits"), most=IMAGES, rule="squash", seed=0).at(8)
    recipe = trial_recipe(epochs=EPOCHS, batch=32, seed=0)
    plain = Judge(mobile_space(8, channels=8), Objective("madds", madds_target(8)), training, validation, recipe)
    judge = Judged(plain, chosen.work, ends)
    studies: dict[str, list[Study]] = {name: [] for name in SAMPLERS}
    for name, found in studies.items():
        for seed in range(chosen.seeds):
            found.append(run_study(sampler(name, plain.space, seed), chosen.trials, judge, name=name))
            print(name, seed, found[-1].best_so_far()[-1], flush=True)
    rows = [_row(name, found, judge, chosen.trials) for name, found in studies.items()]
    rows.append(_noise(judge, studies["random"][0]))
    seconds = sum(trial.seconds for trial in judge.known.values())
    rows.append(
        {
            "what": "all trainings",
            "command": COMMAND,
            "n": 1,
            "networks": len(judge.known),
            "seconds": round(seconds, 1),
        }
    )
    for row in rows:
        print(row)
    write_record("architecture-search", rows, ("striate", "torch", "numpy"))


class Judged:
    """A judge that keeps its trials in a file of the work, and ends the process when the time is up."""

    def __init__(self, judge: Judge, work: Path, ends: float) -> None:
        self.judge, self.work, self.ends = judge, work, ends
        self.path = work / f"trials-{judge.recipe.seed}.jsonl"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.known = {trial.point: trial for trial in map(Trial.from_dict, map(json.loads, lines))}

    def __call__(self, point: Point) -> Trial:
        """The trial of a point, trained unless it is known."""
        if point not in self.known:
            if time.monotonic() > self.ends:
                raise SystemExit("not done: call again with the same WORK to go on")
            self.known[point] = self.judge(point)
            with open(self.path, "a") as file:
                file.write(json.dumps(self.known[point].as_dict()) + "\n")
        return self.known[point]

    def reseeded(self, seed: int) -> Judged:
        """The same from another seed of the training."""
        judge = dataclasses.replace(self.judge, recipe=self.judge.recipe.updated({"seed": seed}))
        return Judged(judge, self.work, self.ends)


def _row(name: str, studies: list[Study], judge: Judged, trials: int) -> dict[str, object]:
    best = [study.best for study in studies]
    rewards = [trial.reward for trial in best if trial is not None]
    later = [statistics.mean(trial.reward for trial in study.trials[trials // 2 :]) for study in studies]
    again = [
        statistics.mean(judge.reseeded(seed)(trial.point).reward for seed in range(1, AGAIN + 1))
        for trial in best
        if trial is not None
    ]
    return {
        "what": f"{name}, {trials} trials, {len(studies)} seeds",
        "command": COMMAND,
        "n": len(studies),
        "best reward": _summary(rewards),
        "mean reward of the last half": _summary(later),
        f"found network trained {AGAIN} times more": _summary(again),
    }


def _summary(values: list[float]) -> dict[str, object]:
    low, high = mean_interval(values)
    return {"mean": round(statistics.mean(values), 4), "interval": [round(low, 4), round(high, 4)]}


def _noise(judge: Judged, study: Study) -> dict[str, object]:
    """The deviation of the reward over training seeds, and over networks of the space."""
    points = [trial.point for trial in study.trials[:5]]
    within = [statistics.stdev(judge.reseeded(seed)(point).reward for seed in range(5)) for point in points]
    return {
        "what": "noise of a trial",
        "command": COMMAND,
        "n": len(points),
        "deviation over training seeds": round(statistics.mean(within), 4),
        "deviation over networks": round(statistics.stdev(trial.reward for trial in study.trials), 4),
        "validation images": len(judge.judge.validation),
    }


if __name__ == "__main__":
    main()
