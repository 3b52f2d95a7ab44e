"""What several tests share."""

import pytest
import torch

from lib.data import DataConfig
from lib.experiments import Experiment
from lib.models import ModelConfig
from lib.noise import NoiseConfig
from lib.observe import ObserveConfig
from lib.paths import data_folder
from lib.train import TrainConfig


@pytest.fixture
def real_data():
    """The data folder with MNIST in it; tests that need it are skipped elsewhere."""
    folder = data_folder()
    if not (folder / "MNIST" / "raw" / "train-images-idx3-ubyte").exists():
        pytest.skip(f"needs MNIST's files in {folder} (CLEAN_PRIORITY_DATA names another folder)")
    return folder


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """An empty data folder of the test's own."""
    monkeypatch.setenv("CLEAN_PRIORITY_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def quick() -> Experiment:
    """An experiment of under a second."""
    return Experiment(
        DataConfig("digits", classes=(7, 9)),
        NoiseConfig(0.4),
        ModelConfig(widths=(32, 32)),
        TrainConfig(lr=0.03, epochs=6, batch_size=32, momentum=0.9),
        ObserveConfig(truth=True, tangent_images=4, watched=5),
    )


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def pytest_collection_modifyitems(items):
    """Tests of the built site share one build, and so one worker."""
    for item in items:
        if "built" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("site"))
