"""What the authors of the two earlier notebooks published: results of a ResNet-18 on CIFAR-10.

Recorded readings lie in ``book/published``, reduced to the columns that the
chapters use, with their source and its licence beside them. `read` takes them
from there; ``fresh`` reads the tables anew where they are published.
"""

import csv
import io
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..files import atomic
from ..paths import ROOT
from ..progress import say

SOURCE = "github.com/HIDEKI-SQ/dual-gradient-learning"
COMMIT = "48b95f543d6b6a60b812fa6413240fe81f7ef81d"
LICENCE = "MIT licence, © 2025 HIDEKI"
FOLDER = ROOT / "book" / "published"
RAW = f"https://raw.githubusercontent.com/HIDEKI-SQ/dual-gradient-learning/{COMMIT}/notebooks/Paper-A/results"
DIGITS = 6  # of a published number: float rounding goes no further


@dataclass(frozen=True)
class Table:
    """One table: the published files it is made of, and what is kept of their columns under which name."""

    files: tuple[str, ...]
    columns: Mapping[str, str]


_CONDITION = {"noise_rate": "noise_rate", "lambda": "mix", "seed": "seed"}
_LAST_AND_BEST = {"test_error": "test_error", "best_error": "best_error", "avg_cos_struct_value": "cosine"}
_SIZES, _RATES = "exp_Q1_finite_size_scaling_20260114_092739", "exp_Q3_lr_lambda_interaction_20260114_130904"
_LOOPS = ("exp_R1_hysteresis_loop_20260116_041153/R1", "exp_R2_hysteresis_loop_20260116_041236/R2")

TABLES = {
    "finite_size": Table(  # three widths (multiples of the ResNet-18's), two noise rates, five mixes each, ten seeds
        tuple(f"{_SIZES}/exp_Q1{part}_results.csv" for part in ("a", "b", "c1", "c2", "c3", "c4")),
        {"width_mult": "width"} | _CONDITION | _LAST_AND_BEST,
    ),
    "learning_rate": Table(  # three learning rates, five mixes, two noise rates, five seeds
        tuple(f"{_RATES}/exp_Q3{part}_results.csv" for part in ("a", "b")),
        {"lr": "lr"} | _CONDITION | _LAST_AND_BEST,
    ),
    "loops": Table(  # mixes up and back, at one ("fast") and five ("slow") epochs each
        tuple(f"{start}{part}_results.csv" for start in _LOOPS for part in ("a", "b")),
        {"sweep_type": "pace", "step_idx": "step", "direction": "direction"}
        | _CONDITION
        | {"test_error": "test_error"},
    ),
    "hysteresis": Table(  # the protocol at noise rate 0.8, third version: the best three of ten seeds, three collapsed
        ("exp_Tb2_eta08_v3_20260118_141005/Tb2_v3_results.csv",),
        {"branch": "branch", "lambda": "mix", "seed": "seed", "error": "test_error"},
    ),
    "trusted": Table(  # the protocol at noise rate 0.4 with right labels of a trusted share alone
        ("exp_V2_trusted_subset_20260118_095313/V2_results.csv",),
        {"trusted_ratio": "trusted", "branch": "branch", "lambda": "mix", "seed": "seed", "error": "test_error"},
    ),
}


def read(name: str, *, fresh: bool = False) -> pd.DataFrame:
    """A table of `TABLES`, a row a run and mix: the recorded readings, or with ``fresh`` those published now.

    Without a network ``fresh`` says so and gives the recorded ones. ValueError for another name.
    """
    if name not in TABLES:
        raise ValueError(f"unknown table {name!r}; there are: {', '.join(TABLES)}")
    if fresh:
        try:
            return reduced(name, [fetched(f"{RAW}/{file}") for file in TABLES[name].files])
        except OSError as error:
            say(f"{SOURCE} cannot be read ({error}): the recorded readings are used")
    return pd.read_csv(FOLDER / f"{name}.csv")


def fetched(address: str) -> str:
    """The text at an address. OSError without a network."""
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.read().decode()


def reduced(name: str, texts: list[str]) -> pd.DataFrame:
    """What is kept of published files, given as their texts. ValueError names a column that is missing."""
    columns = TABLES[name].columns
    tables = []
    for text in texts:
        header = next(csv.reader([text.splitlines()[0]]))
        missing = [column for column in columns if column not in header]
        if missing:
            raise ValueError(f"table {name!r} as published has no column {missing[0]!r}: it has {', '.join(header)}")
        tables.append(pd.read_csv(io.StringIO(text))[list(columns)].rename(columns=columns))
    return pd.concat(tables, ignore_index=True).round(DIGITS)


def record(name: str, texts: list[str]) -> None:
    """Keep the readings of published files in `FOLDER`."""
    with atomic(FOLDER / f"{name}.csv") as part:
        part.write_text(reduced(name, texts).to_csv(index=False, lineterminator="\n"), encoding="utf-8")


def ways(loops: pd.DataFrame, noise_rate: float, pace: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A published loop: mixes, errors on the way up and on the way back, ``[mixes, seeds]``.

    Both ways at the mixes of the way back, which all lie between those of the way up: by straight lines.
    """
    rows = loops[np.isclose(loops["noise_rate"], noise_rate) & (loops["pace"] == pace)]
    up, back = (
        rows[rows["direction"] == direction].pivot(index="mix", columns="seed", values="test_error")
        for direction in ("up", "down")
    )
    at = back.index.to_numpy()
    there = np.stack([np.interp(at, up.index, up[seed]) for seed in back.columns], axis=1)
    return at, there, back.to_numpy()


def credit() -> str:
    """Where the numbers come from, in one line of Markdown."""
    return (
        f"*Recorded readings of [{SOURCE}](https://{SOURCE}/tree/{COMMIT}/notebooks/Paper-A/results), "
        f"commit {COMMIT[:8]}, {LICENCE}; reduced to the columns used here.*"
    )
