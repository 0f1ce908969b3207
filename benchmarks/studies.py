"""Run studies and record their results: python benchmarks/studies.py WORK --scale quick [STUDY ...]

Each study's result goes to benchmarks/records/studies/NAME-SCALE.json, with the machine and the date, and from there to
the table of verdicts in the documentation. WORK keeps the trainings: the same command goes on with what is not done.
CIFAR-10, MNIST and Hymenoptera are those of the test data; of CIFAR-10 it has 4,000 training and 1,000 test images.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

from recording import DATA, ROOT, machine

import striate
from striate.errors import RequestError
from striate.progress import Progress
from striate.studies import catalog

FOLDER = ROOT / "benchmarks" / "records" / "studies"
SETS = {  # of the test data
    "cifar10": "cifar10_lossless_5k.npz",
    "mnist": "mnist.npz",
    "hymenoptera": "hymenoptera",
    "imagenet-samples": "imagenet_samples",
}


class Lines(Progress):
    """Prints the lines."""

    def say(self, line: str) -> None:
        """Print it."""
        print(line, flush=True)


def main() -> None:
    """Run and record each study; those that cannot be run are told."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("work", type=Path, help="folder of the trainings and pages")
    options.add_argument("studies", nargs="*", metavar="STUDY", help="default: all")
    options.add_argument("--scale", choices=("quick", "cpu"), default="quick")
    options.add_argument("--data", metavar="FOLDER", help="of the test data, in place of the studies' own")
    options.add_argument("--note", default="", help="recorded with the results, such as what else the machine did")
    chosen = options.parse_intermixed_args()  # studies may follow an option
    work, held = chosen.work.resolve(), DATA.resolve()
    os.chdir(held)  # where the set that only some arms of a study name is a folder of its name
    for name in chosen.studies or catalog.names():
        study = catalog.study(name)
        own = study.data_at(chosen.scale)
        path = chosen.data or SETS.get(study.at(chosen.scale).data)
        try:
            done = striate.reproduce(
                [name],
                scale=chosen.scale,
                out=work,
                data=held / path if path else None,
                weights=held / "weights",
                progress=Lines(),
            )
        except RequestError as error:
            print(f"{name}: not run: {error}", flush=True)
            continue
        for outcome in done.outcomes:
            other = f"{chosen.data} in place of {own}. " if chosen.data else ""
            said = {"data": chosen.data or own or "none", "deviation": f"{other}{outcome.scale.deviation}"}
            record(outcome.as_dict() | said | ({"note": chosen.note} if chosen.note else {}), chosen.data)
        print("\n".join(done.lines()), flush=True)


def record(result: dict[str, object], data: str | None) -> None:
    """Write a result with what it was measured on. data: in place of the study's own."""
    name, scale = str(result["study"]), result["scale"]
    needs = f"{f' --data {data}' if data else ''}{' --weights FOLDER' if catalog.study(name).needs else ''}"
    facts = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in ("striate", "torch", "numpy")},
        "command": f"striate reproduce {name} --scale {scale}{needs}",
        "n": result["seeds"],
        **result,
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    on = f"-{data.replace('/', '-')}" if data else ""
    (FOLDER / f"{name}-{scale}{on}.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
