"""What the pages' scripts compute, run by node, against Python's numbers; and the data in the pages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, get_args

import numpy as np
import pytest

from striate.jobs.lesson import LESSONS, lesson_page
from striate.lessons import convolution, dropout, fields, normalisation, optimizers, paths, scaling
from striate.lessons.pages import fields as fields_page
from striate.lessons.pages import normalisation as normalisation_page
from striate.nets.efficientnet import ROWS, SCALE_ROWS

NODE = shutil.which("node") or shutil.which("nodejs")
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: lesson_page(name) for name in LESSONS}


# Runs scripts, a line of JSON each, without a document: so they compute only.
SERVER = """
const vm = require("node:vm");
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { script, asked } = JSON.parse(line);
  console.log(JSON.stringify(vm.runInNewContext(`${script}\\n;[${asked.join(", ")}]`)));
});
"""


@pytest.fixture(scope="module")
def node() -> Iterator[subprocess.Popen[str]]:
    if NODE is None:
        pytest.skip("node is not installed: the pages' scripts are not run")
    with subprocess.Popen([NODE, "-e", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin
        process.stdin.close()


Ran = Callable[[str, list[str]], list[Any]]


@pytest.fixture
def ran(node: subprocess.Popen[str], pages: dict[str, str]) -> Ran:
    """The values of expressions in a page's script."""

    def values(name: str, expressions: list[str]) -> list[Any]:
        (script,) = SCRIPT.findall(pages[name])
        assert node.stdin and node.stdout
        node.stdin.write(json.dumps({"script": script, "asked": expressions}) + "\n")
        node.stdin.flush()
        found: list[Any] = json.loads(node.stdout.readline())
        return found

    return values


def called(name: str, *arguments: Any) -> str:
    return f"{name}({', '.join(json.dumps(argument) for argument in arguments)})"


def test_the_data_in_the_pages(pages: dict[str, str]) -> None:
    data = {name: json.loads(DATA.findall(page)[0]) for name, page in pages.items()}
    assert np.shape(data["convolution"]["image"]) == (6, 6)
    assert data["convolution"]["examples"]["padding"] == [[1, 4, 2, 3], [6, 1, 1, 7], [1, 2, 1, 4], [1, 5, 1, 2]]
    for name, surface in optimizers.SURFACES.items():
        kept = data["optimizers"]["surfaces"][name]
        assert tuple(kept["start"]) == surface.start and len(kept["levels"]) == 9 and all(kept["levels"])
    assert data["scaling"]["bases"] == [1.2, 1.1, 1.15]
    assert [row[4:] for row in data["scaling"]["rows"]] == [[row.channels, row.layers] for row in ROWS]
    vgg = data["fields"]["presets"]["vgg19"]
    assert fields.fields([fields.Layer(*layer) for layer in vgg["layers"]], vgg["size"])[-1].field == 268
    assert data["normalisation"]["maps"] == normalisation_page.example()
    assert len(data["paths"]["factors"]) == paths.MOST_BLOCKS


def test_the_convolution_script(ran: Ran) -> None:
    image = np.random.default_rng(1).integers(-4, 9, (6, 6)).tolist()
    modes = get_args(convolution.Mode)
    settings = [(3, 1, 1, 1), (2, 2, 0, 1), (3, 1, 3, 3), (5, 3, 2, 1), (1, 1, 0, 1), (3, 2, 1, 2)]
    kernels = [np.random.default_rng(side).integers(-3, 4, (side, side)).tolist() for side, *_ in settings]
    cases = [(kernel, *rest, mode) for kernel, (_, *rest) in zip(kernels, settings, strict=True) for mode in modes]
    asked = [called("convolved", image, kernel, s, p, d, mode) for kernel, s, p, d, mode in cases]
    expected: list[Any] = [
        convolution.convolved(image, kernel, stride=s, padding=p, dilation=d, mode=mode).tolist()
        for kernel, s, p, d, mode in cases
    ]
    for kind in get_args(convolution.Pool):
        asked.append(called("pooled", image, 2, 2, kind))
        expected.append(convolution.pooled(image, 2, stride=2, kind=kind).tolist())
    for side in (3, 5, 11):
        asked.append(called("costs", side, 16))
        expected.append([list(cost) for cost in convolution.costs(side, 16)])
    sizes = [(6, 3, 1, 0, 1), (7, 3, 2, 1, 1), (6, 5, 1, 0, 2), (224, 11, 4, 2, 1)]
    asked += [called("outputSize", *size) for size in sizes]
    expected += [convolution.output_size(n, k, stride=s, padding=p, dilation=d) for n, k, s, p, d in sizes]
    assert ran("convolution", asked) == expected


def test_the_optimizers_script(ran: Ran) -> None:
    asked, expected = [], []
    own = optimizers.Form(epsilon=0.01, momentum=0.5)
    for form in (optimizers.LECTURES, optimizers.PYTORCH, own):
        for name, surface in optimizers.SURFACES.items():
            for place, rule in enumerate(optimizers.RULES):
                rates = [surface.rates[place > 2]] * 20 + [surface.rates[place > 2] / 2] * 20
                asked.append(called("path", rule, name, rates, vars(form), surface.start))
                expected.append([list(point) for point in optimizers.path(rule, name, rates, form)])
    found = ran("optimizers", asked)
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one, other, rtol=0, atol=1e-6)
    # A path that leaves is ended at the same step.
    rates = [0.3] * 50
    diverged = optimizers.path("sgd", "ravine", rates)
    (found,) = ran("optimizers", [called("path", "sgd", "ravine", rates, vars(own), (-4.0, 1.6)) + ".length"])
    assert found == len(diverged) < 50


def test_the_scaling_script(pages: dict[str, str], ran: Ran) -> None:
    rows = json.loads(DATA.findall(pages["scaling"])[0])["rows"]
    sizes = [(scale.width, scale.depth, scale.resolution) for scale in SCALE_ROWS] + [(0.25, 0.5, 33), (1.3, 1.7, 301)]
    asked = [called("counts", rows, 1000, *size) for size in sizes]
    expected: list[Any] = [list(scaling.counts(*size)) for size in sizes]
    assert ran("scaling", asked) == expected
    phis = [0, 0.5, 1, 3, 7]
    found = ran("scaling", [called("factors", phi, 1.2, 1.1, 1.15) for phi in phis])
    assert np.allclose(found, [list(scaling.factors(phi)) for phi in phis], rtol=1e-12)


def test_the_fields_script(ran: Ran) -> None:
    asked, expected = [], []
    for size, layers in fields_page.presets().values():
        asked += [called("fields", layers, size), called("reach", layers, 3)]
        expected += [
            [one._asdict() for one in fields.fields(layers, size)],
            [list(one) for one in fields.reach(layers, 3)],
        ]
    assert ran("fields", asked) == expected


def test_the_normalisation_script(ran: Ran) -> None:
    shape, maps = normalisation_page.SHAPE, normalisation_page.example()
    asked, expected = [], []
    for norm in normalisation.NORMS:
        for image, channel, groups in ((0, 0, 2), (3, 5, 3), (1, 2, 6), (2, 4, 1)):
            asked.append(called("shared", norm, image, channel, shape, groups))
            expected.append(normalisation.shared(norm, image, channel, shape, groups)[:, :, 0, 0].tolist())
    assert ran("normalisation", asked) == expected
    asked = [called("statistics", norm, maps, 1, 4, 3) for norm in normalisation.NORMS]
    found = ran("normalisation", asked)
    assert np.allclose(found, [normalisation.statistics(norm, maps, 1, 4, 3) for norm in normalisation.NORMS])


def test_the_dropout_script(ran: Ran) -> None:
    given = [1.0, 0.5, 2.0, 1.5], [0.8, -1.2, 0.5, 0.6], 0.3
    expected = dropout.thinned(*given)
    networks = called("thinned", *given)
    listed, mean, after = ran("dropout", [networks, f"meanOutput({networks})", f"meanSigmoid({networks})"])
    assert [tuple(kept) for kept, *_ in listed] == [one.kept for one in expected]
    assert np.allclose([numbers for _, *numbers in listed], [one[1:] for one in expected])
    assert mean == pytest.approx(dropout.mean_output(expected))
    assert after == pytest.approx(dropout.mean_sigmoid(expected))


def test_the_paths_script(ran: Ran) -> None:
    factors = [0.5, -0.2, 0.3, 0.1]
    asked = [called("allPaths", 1, factors), called("output", 1, factors), called("expanded", 3)]
    (listed, total, formula) = ran("paths", asked)
    expected = paths.all_paths(1, factors)
    assert [blocks for blocks, _ in listed] == [list(path.blocks) for path in expected]
    assert np.allclose([value for _, value in listed], [path.value for path in expected])
    assert total == pytest.approx(paths.output(1, factors)) and formula == paths.expanded(3)
    found = ran("paths", [called("shareBetween", 54, 5, 17), called("lengthShares", 110)])
    assert found[0] == pytest.approx(paths.share_between(54, 5, 17), rel=1e-12)
    assert np.allclose(found[1], paths.length_shares(110), rtol=1e-9, atol=0)
