"""What tests of derivatives and of penalties share."""

import pytest
import torch

from lib.beyond.derivatives import unit_directions


@pytest.fixture
def samples(generator):
    """Images [12, 1, 8, 8], labels of ten classes, and three directions for each image."""
    images = torch.rand((12, 1, 8, 8), generator=generator)
    labels = torch.randint(10, (12,), generator=generator)
    return images, labels, unit_directions(tuple(images.shape), 3, generator)
