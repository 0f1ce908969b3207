"""`striate show` and `striate nets`: derived columns, options, pages; filters and orders."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from striate.nets import catalog


def test_show_prints_the_table_and_the_columns(cli) -> None:
    code, out, err = cli("show", "lenet5")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert "60,000 parameters, 326,520 multiply-adds at 1x32x32, 78.1 kB of activations in training" in lines
    columns = [line.split() for line in lines[next(n for n, line in enumerate(lines) if line.startswith("stage ")) :]]
    assert columns[0] == ["stage", "output", "parameters", "multiply-adds", "field", "memory"]
    assert columns[3] == ["c3", "16x10x10", "1,516", "150,000", "14", "11,104"]
    assert columns[7][:5] == ["head", "10", "0", "840", "all"]
    assert any("nor 2 Subsampling (44 parameters)" in line for line in lines)
    assert "(more: docs/nets/lenet.md)" in lines
    assert max(map(len, lines)) <= 120


def test_show_says_which_part_of_the_table_the_net_is(cli) -> None:
    assert "constructor VGG(configuration='D')" in cli("show", "vgg16")[1].splitlines()
    shown = json.loads(cli("show", "resnet50", "--option", "depth=101", "--json")[1])
    assert "depth=101" in shown["made"] and "depth=50" not in shown["made"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("googlenet", ["10.07 % top-5", "1-crop", "13\u202f378\u202f280", "paper: 1\u202f502\u202f000\u202f000"]),
        ("vgg16", ["25.6 %, 8.1 % top-5", "from memory, not checked"]),
    ],
)
def test_the_page_tells_every_published_error_and_where_it_is_from(name: str, said: list[str], cli, tmp_path) -> None:
    cli("show", name, "--html", tmp_path / "net.html")
    html = (tmp_path / "net.html").read_text("utf-8")
    assert all(one in html for one in said)


def test_show_as_json(cli) -> None:
    code, out, _ = cli("show", "resnet20", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["parameters"] == 269_722
    assert facts["stages"][2] == {
        "name": "stage2", "output": [32, 16, 16], "parameters": 51_072, "madds": 12_976_128,
        "receptive_field": [37, 37], "gated": False, "activation_bytes": 393_216, "training_only": False,
    }  # fmt: skip
    assert facts["stages"][-1]["receptive_field"] is None
    assert facts["uncounted"] == [{"kind": "BatchNorm2d", "number": 19, "parameters": 1376, "madds": 0}]
    assert facts["activation_bytes"] == sum(row["activation_bytes"] for row in facts["stages"])


def test_show_for_another_size_classes_and_options(cli) -> None:
    options = "--input-size 64 48 --classes 100 --option depth=8 --option residual=false --json"
    code, out, _ = cli("show", "resnet20", *options.split())
    facts = json.loads(out)
    assert code == 0 and facts["options"] == {"depth": 8, "residual": False}
    assert [row["output"] for row in facts["stages"]][-2:] == [[64, 16, 12], [100]]
    assert facts["parameters"] == 75_290 + 65 * 90
    code, out, _ = cli("show", "efficientnet_lite0", "--option", "width=0.5")
    assert code == 0 and "4,652,008" not in out


def test_show_draws_a_page(cli, tmp_path: Path) -> None:
    page = tmp_path / "net.html"
    code, out, _ = cli("show", "resnet20", "--html", page)
    assert code == 0 and out.endswith(f"Page {page}\n")
    html = page.read_text("utf-8")
    assert (
        "CifarResNet(depth=20)" in html
        and html.count("<svg") == 7
        and "<b>3 &times;</b>" in html
        and "output_map_size" in html
    )
    assert "docs/nets/resnet.md" in html and "8.75 %" in html and "<script" not in html


@pytest.mark.parametrize(
    ("words", "boxes"),
    [
        ("nin_cifar", "5\u00d75 conv|192 \u00b7 ReLU|1\u00d71 conv|160 \u00b7 ReLU|1\u00d71 conv|96 \u00b7 ReLU"),
        ("hyper_mnist", "7\u00d77 conv made by a network|16 \u00b7 ReLU"),
        ("stochastic_depth_resnet110 --option depth=8", "3\u00d73 conv|16 \u00b7 BN|+ by chance|ReLU"),
        ("fractalnet10_narrow --option width=0.125", "2\u00d72 max /2|join|8"),
        (
            "densenet_tiny",
            "3\u00d73 conv|6|cat|BN \u00b7 ReLU|1\u00d71 conv|24 \u00b7 BN \u00b7 ReLU|3\u00d73 conv",
        ),
        (
            "se_resnet20 --option depth=8",
            "mean|1\u00d71 conv|1 \u00b7 ReLU|1\u00d71 conv|16 \u00b7 sigmoid|\u00d7|+|ReLU",
        ),
    ],
)
def test_blocks_of_the_lectures_are_drawn(words: str, boxes: str, cli, tmp_path: Path) -> None:
    code, out, _ = cli("show", *words.split(), "--html", tmp_path / "net.html")
    assert code == 0, out
    drawings = re.findall("<svg.*?</svg>", (tmp_path / "net.html").read_text("utf-8"), re.DOTALL)
    assert any(boxes in "|".join(re.findall(">([^<>]+)<", drawing)) for drawing in drawings)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("show resnet20 --option dept=8", "unknown option of resnet20: 'dept'; did you mean 'depth'?"),
        ("show resnet20 --option depth", "an option of a network is NAME=VALUE, not 'depth'"),
        ("show resnet20 --option depth=x", "option depth of resnet20 must be a whole number, not 'x'"),
        ("show resnet20 --input-size 4 32", "resnet20 needs images of at least 8 x 8 pixels, not 4 x 32"),
        ("show resnet20 --classes 0", "classes must be a whole number from 1"),
        ("nets --year 20152016", "--year takes 2015, 2015..2017, 2015.. or ..2017, not '20152016'"),
        ("nets --year ..", "--year takes 2015"),
        ("nets --year 2017..2015", "--year takes the earlier year first"),
        ("nets --max-madds 5x", "--max-madds takes a count such as 5M, 300k or 1000000, not '5x'"),
        ("nets --max-madds 5e999", "--max-madds takes a count such as 5M, 300k or 1000000, not '5e999'"),
        ("nets --sort madd", "unknown --sort 'madd'; did you mean 'madds'?"),
    ],
)
def test_what_is_wrong_is_one_line(words: str, said: str, cli) -> None:
    code, out, err = cli(*words.split())
    assert code == 2 and out == "" and said in err and len(err.splitlines()) == 1


def listed(cli, *words: str) -> list[dict]:
    code, out, _ = cli("nets", *words, "--json")
    assert code == 0
    return json.loads(out)["nets"]


def test_nets_are_filtered(cli) -> None:
    every = catalog.entries()
    assert len(listed(cli)) == len(every)
    assert {net["name"] for net in listed(cli, "--year", "..1998")} == {e.name for e in every if e.year <= 1998}
    assert {net["year"] for net in listed(cli, "--year", "2015..2019")} == {
        e.year for e in every if 2015 <= e.year <= 2019
    }
    assert {net["year"] for net in listed(cli, "--year", "2019..")} == {e.year for e in every if e.year >= 2019}
    assert {net["year"] for net in listed(cli, "--year", "1998")} == {1998}
    small = listed(cli, "resnet*", "--max-parameters", "0.5M", "--max-madds", "50m")
    assert [net["name"] for net in small] == ["resnet20"]
    assert listed(cli, "--max-parameters", "5e6") == listed(cli, "--max-parameters", "5M")


def test_published_weights_are_listed_with_their_accuracy(cli) -> None:
    rows = json.loads(cli("nets", "--weights", "--json")[1])["weights"]
    assert {row["library"] for row in rows} >= {"package", "torchvision", "timm", "pytorchcv", "caffe", "akamaster"}
    found = {(row["net"], row["library"], row["name"]): row for row in rows}
    assert found["efficientnet_lite0", "package", "efficientnet_lite0_imagenet"]["state"] == "here"
    assert found["mobilenet_v2", "torchvision", "mobilenet_v2"]["top1"] in (71.878, 72.154)
    assert found["resnet50_modern", "timm", "resnet50.fb_ssl_yfcc100m_ft_in1k"]["licence"] == "cc-by-nc-4.0"
    assert found["bn_inception", "pytorchcv", "bninception"]["state"] == "file"
    licences = {row["library"]: row["licence"] for row in rows if row["library"] not in ("package", "timm", "keras")}
    assert licences == {
        "torchvision": "BSD-3-Clause", "pytorchcv": "MIT", "caffe": "by model", "landscape": "MIT",
        "akamaster": "BSD-2-Clause", "darknet": "Darknet's", "edgenets": "MIT",
    }  # fmt: skip
    vgg = found["vgg16", "keras", "VGG16"]
    assert vgg["licence"] == "CC-BY-4.0" and vgg["top1"] == 71.268
    assert found["mobilenet_v2_035", "keras", "MobileNetV2_96"]["state"] == "fetch"
    lines = cli("nets", "mobilenet*", "--weights")[1].splitlines()
    assert lines[0].split()[:4] == ["net", "from", "name", "pixels"] and any("71.88" in line for line in lines)
    assert cli("nets", "lenet*", "--weights")[1].startswith("no weights of these nets are published")


def test_nets_are_listed_by_their_kind(cli) -> None:
    known = {entry.kind for entry in catalog.entries()}
    kinds = {kind: {net["name"] for net in listed(cli, "--kind", kind)} for kind in known}
    assert sum(map(len, kinds.values())) == len(catalog.entries())
    assert {"enet_19", "enet_19_encoder"} <= kinds["segmenter"] and "lenet5" in kinds["classifier"]
    head, *rows = cli("nets", "--kind", "segmenter")[1].splitlines()
    place = head.index("kind")
    assert {row[place:].split()[0] for row in rows} == {"segmenter"}
    assert "kind" not in cli("nets", "lenet*")[1]
    code, _, err = cli("nets", "lenet*", "--kind", "segmenter")
    assert code == 2 and "no net of the kind segmenter matches 'lenet*'" in err
    assert cli("nets", "--kind", "segmentr")[2] == "striate: unknown --kind 'segmentr'; did you mean 'segmenter'?\n"


@pytest.mark.parametrize("order", ["year", "parameters", "madds", "name"])
def test_nets_are_sorted(order: str, cli) -> None:
    values = [net[order] for net in listed(cli, "--sort", order)]
    assert values == sorted(values) and len(values) == len(catalog.entries())


def test_nets_sorted_by_error_stand_by_data(cli) -> None:
    found = listed(cli, "--sort", "error")
    assert found and all("error" in net["published"] for net in found)
    places = [(net["published"]["data"], net["published"]["error"]) for net in found]
    assert places == sorted(places)
    _, out, _ = cli("nets", "resnet*", "--sort", "error")
    assert out.splitlines()[0].split()[-4:] == ["error", "%", "on", "weights"]
    assert " 6.43  CIFAR-10 " in out
