"""The most suspicious published labels: rows agree with the data set and with what judging says of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lib.data import DataConfig, load
from lib.experiments import as_dict, generator
from lib.models import ModelConfig, build
from lib.records import experiment_from
from lib.suspects.early_stop import Recipe
from lib.suspects.judgement import judge
from lib.suspects.published import PublishedSuspects, doubted, pictures_of
from lib.suspects.read import from_arrays

CPU = torch.device("cpu")
DATA = DataConfig("digits", train_size=400)
RUN = PublishedSuspects(data=DATA, model=ModelConfig((16,)), recipe=Recipe(epochs=12), shown=7)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.DataFrame(RUN.rows(CPU, None))


def test_rows_show_the_images_and_labels_of_the_data_set(table):
    task = load(DATA)
    index = table["index"].tolist()
    pictures = pictures_of(table, (1, 8, 8))
    assert pictures.shape == (7, 1, 8, 8)
    np.testing.assert_array_equal(pictures, task.train_images[index].numpy())
    assert table["given"].tolist() == task.train_labels[index].tolist()
    assert len(set(index)) == 7
    assert len(np.unique(pictures, axis=0)) == 7


@pytest.mark.parametrize("pool", [1, 2])
def test_rows_are_the_most_suspicious_in_order(pool, table):
    """The same labels, judged as a user would have them judged."""
    task = load(DATA)
    images = task.train_images.float().numpy()
    if pool == 2:
        images = images.reshape(-1, 1, 4, 2, 4, 2).mean((3, 5))
        table = pd.DataFrame(replace(RUN, pool=2).rows(CPU, None))
    labelled = from_arrays(images / 255, task.train_labels.numpy())
    labelled = replace(labelled, inputs=torch.from_numpy(images))  # the same numbers, to the last bit
    model = build(RUN.model, images.shape[1:], 10, generator(0, "weights"))
    found = judge(labelled, replace(RUN.recipe, device="cpu"), model=model, progress=False)
    first = found.table.sort_values("label_quality").head(7)
    assert table["index"].tolist() == first.index.tolist()
    assert table["suggested"].tolist() == [int(label) for label in first["predicted_label"]]
    np.testing.assert_allclose(table["probability"], first["probability_wrong"], rtol=1e-6)
    assert (table["probability"].diff().dropna() <= 0).all()
    alike = table[["noise_rate", "low", "high", "suspects", "samples", "accuracy"]].drop_duplicates()
    assert len(alike) == 1
    said = alike.iloc[0]
    assert said["samples"] == 400
    assert said["suspects"] == found.table["is_label_issue"].sum() == round(said["noise_rate"] * 400)
    assert said["low"] <= said["noise_rate"] <= said["high"]
    assert pictures_of(table, (1, 8, 8)).shape == (7, 1, 8, 8)  # what is shown is not averaged


def test_all_labels_are_shown_where_more_are_wanted():
    rows = replace(RUN, data=DataConfig("digits", train_size=30), shown=99, recipe=Recipe(epochs=2)).rows(CPU, None)
    assert sorted(row["index"] for row in rows) == list(range(30))


def test_settings_come_back_from_a_record_and_bad_ones_are_named():
    run = replace(RUN, seed=2, pool=2)
    assert experiment_from(as_dict(run), "published") == run
    for changed, message in (
        ({"pool": 0}, "pool and shown must be at least 1"),
        ({"shown": 0}, "pool and shown must be at least 1"),
        ({"recipe": Recipe(patience=0)}, "patience must be at least 1"),
        ({"data": DataConfig("letters")}, "unknown data set"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(RUN, **changed).validate()


@pytest.mark.parametrize("channels", [1, 3])
def test_labels_are_shown_with_another_one_where_there_is_one(channels):
    pixels = np.arange(4 * channels * 4.0).reshape(4, -1)
    columns = {f"pixel{k}": pixels[:, k] for k in range(4 * channels)}
    table = pd.DataFrame({"given": [0, 1, 1, 0], "suggested": [1, 1, 0, 1], **columns})
    images, titles = doubted(table, (channels, 2, 2), ("cat", "dog"), count=2)
    assert titles == ["cat → dog", "dog → cat"]
    expected = pixels[[0, 2]].reshape(2, channels, 2, 2)
    if channels == 1:
        np.testing.assert_array_equal(images, expected[:, 0])
    else:
        np.testing.assert_allclose(images[1, 1, 0], expected[1, :, 1, 0] / 255)
        assert images.shape == (2, 2, 2, 3)
