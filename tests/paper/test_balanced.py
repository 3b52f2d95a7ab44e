"""Balanced draws: half of each class, and the machine of a draw that has no majority by itself."""

import numpy as np
import pytest
import torch

from lib.data import DataConfig, load
from lib.experiments import generator
from lib.noise import NoiseConfig
from lib.paper.balanced import BalancedKernelMachine, halves
from lib.paper.kernels import KernelMachine

LABELS = torch.tensor([0] * 70 + [1] * 50)


def test_half_of_each_class_is_drawn_once_and_by_the_generator():
    index = halves(LABELS, 40, generator(3, "images"))
    assert LABELS[index].bincount().tolist() == [20, 20]
    assert len(set(index.tolist())) == 40
    assert index.tolist() == halves(LABELS, 40, generator(3, "images")).tolist()
    assert index.tolist() != halves(LABELS, 40, generator(4, "images")).tolist()
    assert 0 < LABELS[index[:20]].sum() < 20  # the classes do not stand one after the other


def test_without_a_size_the_smaller_class_decides_and_too_many_are_refused():
    assert LABELS[halves(LABELS, None)].bincount().tolist() == [50, 50]
    with pytest.raises(ValueError, match="60 images of each class"):
        halves(LABELS, 120)
    machine = BalancedKernelMachine(
        data=DataConfig("digits", classes=(7, 9), train_size=239), noise=NoiseConfig(0.4), kernel="laplacian", scale=3.0
    )
    machine.preflight()


def test_it_is_the_kernel_machine_where_a_draw_has_all_images_of_two_equal_classes(own_data):
    """All digits of two classes of one size: the same images in another order, and without noise the same machine."""
    data = DataConfig("digits", classes=(7, 9))
    assert load(data).train_labels.bincount().tolist() == [120, 120]
    settings = {"data": data, "noise": NoiseConfig(0), "kernel": "laplacian", "scale": 3.0}
    for coding in ("zero-one", "plus-minus"):
        found, expected = (
            kind(**settings, coding=coding, points=12, decades=4.0).rows(torch.device("cpu"), None)
            for kind in (BalancedKernelMachine, KernelMachine)
        )
        for column in ("epoch", "train_error", "test_error"):
            assert np.allclose([row[column] for row in found], [row[column] for row in expected], atol=1e-9)
