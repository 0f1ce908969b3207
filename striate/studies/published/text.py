"""Text by characters: a HyperLSTM, whose weights another LSTM scales, against an LSTM with as many parameters."""

from __future__ import annotations

import math
import platform
from pathlib import Path
from typing import Any, NamedTuple

from striate.errors import RequestError
from striate.reading import TABLE, read_given
from striate.studies.study import PARAMETERS, SECONDS, Arm, Claim, Context, Published, Result, Scale, ScaleName, Study

LSTM, HYPER, BZ2, LZMA = "LSTM", "HyperLSTM", "bz2", "lzma"
BITS = "bits per character, held out"
# pydoc_data.topics: PSF license, in every Python.
TOPICS = f"help topics of Python {platform.python_version()}"

BOTH = (
    "an LSTM with as many parameters as the HyperLSTM, where the paper's has fewer. The last tenth is held out; bz2 "
    "and lzma have read the rest, too."
)


class Training(NamedTuple):
    """units, hyper, embedding: of the HyperLSTM. characters: of the text, from its start; None: all."""

    units: int
    hyper: int
    embedding: int
    epochs: int
    batch: int
    length: int
    lr: float
    characters: int | None = None


TRAININGS: dict[ScaleName, Training] = {
    "quick": Training(64, 16, 4, 1, 32, 50, 5e-3, 150_000),
    "cpu": Training(192, 48, 4, 6, 32, 100, 3e-3),
    "paper": Training(1000, 128, 4, 100, 128, 100, 1e-3),
}


def compute(arm: Arm, context: Context) -> Result:
    """Train one of the models, or compress; bits per character of the last tenth of the text."""
    import time

    import torch

    from striate.anatomy.summary import parameters
    from striate.nets.build import create
    from striate.training.characters import bits_per_character, compressed_bits, corpus, train_characters

    chosen = TRAININGS[context.scale]
    found = corpus(text_of(context.data)[: chosen.characters])
    if arm.label in (BZ2, LZMA):
        return Result({BITS: compressed_bits(found, arm.label)})
    symbols = len(found.alphabet)

    def made(name: str, **options: int) -> Any:
        return create(name, classes=symbols, in_channels=symbols, options=options)

    torch.manual_seed(context.seed)
    net = made("hyper_lstm_ptb", units=chosen.units, hyper=chosen.hyper, embedding=chosen.embedding)
    if arm.label == LSTM:
        torch.manual_seed(context.seed)
        net = made("lstm_ptb", units=equal_units(parameters(net), symbols), hyper=0)
    net.to("cuda" if context.scale == "paper" and torch.cuda.is_available() else "cpu")
    started = time.monotonic()
    bits = train_characters(
        net, found.training, epochs=chosen.epochs, batch=chosen.batch, length=chosen.length, lr=chosen.lr
    )
    seconds = time.monotonic() - started
    curve = tuple({"epoch": float(epoch), "loss": one} for epoch, one in enumerate(bits, 1))
    numbers = {BITS: bits_per_character(net, found), PARAMETERS: parameters(net) / 1000, SECONDS: seconds}
    return Result(numbers, curve=curve)


def text_of(data: str) -> str:
    """The topics, or a file's text. Raises RequestError for one that cannot be read or is not UTF-8."""
    if data == TOPICS:
        from pydoc_data.topics import topics

        return "\n".join(topics.values())
    try:
        return read_given(Path(data), "the text", TABLE).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{data!r} is not a text in UTF-8: {error.reason} at byte {error.start:,}") from error


def equal_units(parameters: int, symbols: int) -> int:
    """Units n of an LSTM whose parameters, 4 n (symbols + n + 1) + symbols (n + 1), are nearest to so many."""
    linear = 5 * symbols + 4
    return round((-linear + math.sqrt(linear**2 + 16 * (parameters - symbols))) / 8)


STUDY = Study(
    "text",
    "Characters of a text by HyperLSTM and LSTM",
    "Does a HyperLSTM need fewer bits per character than an LSTM with as many parameters?",
    "Ha, Dai, Le 2016, arXiv:1609.09106, Table 3",
    "G44, O7",
    (
        Published("Penn Treebank, bits per character: LSTM, 4.25 M parameters", "1.312"),
        Published("HyperLSTM, 4.91 M parameters", "1.265"),
        Published("LSTM with layer normalisation, 4.26 M", "1.267"),
        Published("HyperLSTM with layer normalisation, 4.92 M", "1.250"),
    ),
    (Arm(LSTM), Arm(HYPER), Arm(BZ2), Arm(LZMA)),
    (Claim("the LSTM needs more bits per character", BITS, LSTM, HYPER),),
    {
        "quick": Scale(
            TOPICS,
            {},
            3,
            f"The first 150,000 characters of the help topics of this Python in place of Penn Treebank, one epoch, 64 "
            f"units in place of 1,000; {BOTH}",
            "2 minutes on two cores",
        ),
        "cpu": Scale(
            TOPICS,
            {},
            3,
            f"The help topics of this Python, 0.5 million characters, in place of Penn Treebank, 6 epochs, 192 units "
            f"in place of 1,000; {BOTH}",
            "50 minutes on two cores",
        ),
        "paper": Scale(
            TOPICS,
            {},
            5,
            f"Penn Treebank is not free, --data takes its text; 100 epochs; {BOTH}",
            "6 hours on a GPU",
        ),
    },
    (BITS, PARAMETERS, SECONDS),
    compute,
)
