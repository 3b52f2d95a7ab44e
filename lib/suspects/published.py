"""The most suspicious labels of a data set as published, which nobody flipped."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..data import DataConfig, load
from ..experiments import Measurement, data_slug, generator
from ..models import ModelConfig, build
from ..observe import Row
from .early_stop import Recipe
from .judgement import judge
from .read import Labelled


@dataclass(frozen=True, kw_only=True)
class PublishedSuspects(Measurement):
    """The ``shown`` labels that are the most suspicious, by rank.

    A row a label: ``index`` in the training set, ``given`` and ``suggested``
    class, ``probability`` of being wrong, and the image itself as ``pixel0``
    ... (channels, rows, columns), so that it can be shown where the data set
    is not; alike in all rows ``noise_rate`` with ``low`` and ``high``,
    ``suspects`` (how many in all), ``samples`` and ``accuracy``, the share of
    held-out labels that the network at its stop gives.
    """

    kind: ClassVar[str] = "published"
    data: DataConfig
    model: ModelConfig
    recipe: Recipe = field(default_factory=Recipe)  # its seed is replaced by the measurement's
    pool: int = 1  # pixels a side that are averaged into one, for the network only
    shown: int = 24

    def validate(self) -> None:
        """Also: something is shown."""
        super().validate()
        if self.pool < 1 or self.shown < 1:
            raise ValueError(f"pool and shown must be at least 1, not {self.pool} and {self.shown}")

    def preflight(self, folder: str | Path | None = None) -> None:
        """Load the data."""
        load(self.data, folder, self.seed)

    @property
    def slug(self) -> str:
        """Key with a readable beginning, for file names."""
        return f"{data_slug(self.data)}-published-seed{self.seed}-{self.key}"

    def rows(self, device: torch.device, folder: str | Path | None) -> list[Row]:
        """The table."""
        task = load(self.data, folder, self.seed)
        images = task.train_images
        if self.pool > 1:
            images = nn.functional.avg_pool2d(images.float(), self.pool)
        labelled = Labelled(images, task.train_labels, task.class_names, pd.RangeIndex(len(images)))
        model = build(self.model, tuple(images.shape[1:]), task.classes, generator(self.seed, "weights"))
        recipe = replace(self.recipe, seed=self.seed, device=device.type)
        found = judge(labelled, recipe, model=model, progress=False)
        number = {name: k for k, name in enumerate(task.class_names)}
        rate = found.noise_rate
        alike = {
            "noise_rate": rate.estimate,
            "low": rate.low,
            "high": rate.high,
            "suspects": int(found.table["is_label_issue"].sum()),
            "samples": len(images),
            "accuracy": max(row["held_out_accuracy"] for row in found.history),
        }
        rows: list[Row] = []
        for index, row in found.table.nsmallest(self.shown, "label_quality").iterrows():
            pixels = task.train_images[index].flatten().numpy()
            rows.append(
                {
                    "index": int(index),
                    "given": number[row["given_label"]],
                    "suggested": number[row["predicted_label"]],
                    "probability": float(row["probability_wrong"]),
                    **alike,
                    **{f"pixel{k}": float(value) for k, value in enumerate(pixels)},
                }
            )
        return rows


def pictures_of(table: pd.DataFrame, shape: tuple[int, ...]) -> np.ndarray:
    """The images of a table's rows, ``[n, channels, height, width]``."""
    columns = [f"pixel{k}" for k in range(int(np.prod(shape)))]
    return table[columns].to_numpy().reshape(-1, *shape)


def doubted(
    table: pd.DataFrame, shape: tuple[int, ...], names: Sequence[str], count: int = 12
) -> tuple[np.ndarray, list[str]]:
    """The first ``count`` rows whose label another one is suggested for, as `lib.press.figures.image_grid` shows them.

    Images ``[count, height, width]`` where they are grey, ``[count, height,
    width, 3]`` in [0, 1] where they have colours, and a title for each,
    "given → suggested", with the classes' ``names``.
    """
    rows = table[table["given"] != table["suggested"]].head(count)
    images = pictures_of(rows, shape)
    titles = [f"{names[int(row.given)]} → {names[int(row.suggested)]}" for row in rows.itertuples()]
    return images[:, 0] if shape[0] == 1 else images.transpose(0, 2, 3, 1) / 255, titles
