"""What tests of labels that people gave share: files like the published ones, made up."""

import numpy as np
import pytest

from lib.suspects import human

CORNERS = 4.0 * np.eye(10)


@pytest.fixture
def human_files(tmp_path, monkeypatch):
    """400 images whose features are their class's corner, but every tenth that of the next class.

    People give those the next class too, and every twenty-third image the class after it.
    """
    monkeypatch.setattr(human, "ELSEWHERE", 60)
    draws = np.random.default_rng(0)
    true = draws.integers(10, size=400)
    hard, plain = np.arange(400) % 10 == 0, np.arange(400) % 23 == 7
    given = np.where(hard, true + 1, np.where(plain, true + 2, true)) % 10
    images = np.zeros((400, 32, 32, 3), dtype=np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.arange(400) % 250, np.arange(400) // 250  # each its own number
    np.savez(
        tmp_path / "cifar10.npz", train_images=images, train_labels=true, test_images=images[:3], test_labels=true[:3]
    )
    np.savez(tmp_path / human.LABELS_FILE, random_label1=given.astype(np.uint8))
    index = draws.permutation(400)[:360].astype(np.int32)
    features = CORNERS[np.where(hard, true + 1, true) % 10][index] + 0.3 * draws.standard_normal((360, 10))
    np.savez(tmp_path / human.FEATURES_FILE, index=index, features=features.astype(np.float16))
    return tmp_path
