"""The earlier notebook's residual network: how images are moved, its size, its schedule."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from lib.beyond.earlier import EarlierResNet, shifted_and_mirrored, three_blocks
from lib.data import DataConfig
from lib.noise import NoiseConfig
from lib.train import Machine, TrainConfig

SMALL = EarlierResNet(
    data=DataConfig("digits", train_size=60, test_size=30),
    noise=NoiseConfig(0.3),
    width=2,
    train=TrainConfig(lr=0.05, epochs=3, batch_size=20, momentum=0.9),
    annealed=3,
)


def table(settings: EarlierResNet) -> pd.DataFrame:
    done = settings.run(machine=Machine("cpu", threads=1), folder=None, resume=False, made_by="", progress=False)
    return pd.DataFrame(done.history)


def test_every_image_is_a_shift_of_itself_and_half_of_them_are_mirrored():
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (200, 3, 8, 16), generator=drawn, dtype=torch.uint8)
    moved = shifted_and_mirrored(images, drawn)
    assert moved.dtype == torch.uint8
    found = []
    for image, result in zip(images, moved, strict=True):
        framed = torch.zeros((3, 10, 18), dtype=torch.uint8)
        framed[:, 1:9, 1:17] = image
        shifts = [(d, r, flip) for d in range(3) for r in range(3) for flip in (False, True)]
        (same,) = [
            (d, r, flip)
            for d, r, flip in shifts
            if torch.equal(
                result, framed[:, d : d + 8, r : r + 16].flip(2) if flip else framed[:, d : d + 8, r : r + 16]
            )
        ]
        found.append(same)
    assert {place[:2] for place in found} == {(d, r) for d in range(3) for r in range(3)}
    assert 70 < sum(flip for *_, flip in found) < 130


def test_the_network_has_the_weights_of_three_blocks():
    w = 64
    convolutions = 3 * w + w * w * 2 + w * 2 * w + 4 * w * w + 2 * w * 4 * w + 16 * w * w  # by 9
    projections = w * 2 * w + 2 * w * 4 * w
    normalised = 2 * (w + 2 * w + 3 * 2 * w + 3 * 4 * w)
    model = three_blocks((3, 32, 32), w, 10, torch.Generator())
    assert sum(p.numel() for p in model.parameters()) == 9 * convolutions + projections + normalised + 4 * w * 10 + 10
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_a_shorter_run_begins_like_the_whole():
    whole = table(SMALL)
    assert list(whole["epoch"]) == [0, 1, 2, 3]
    pd.testing.assert_frame_equal(table(SMALL.short(2)), whole[:3])


def test_images_that_stay_are_seen_as_they_are():
    still, moved = table(replace(SMALL, augment=False)), table(SMALL)
    for name in ("clean_error", "noisy_error", "clean_loss", "noisy_loss"):
        assert still[f"seen_{name}"].to_numpy() == pytest.approx(still[name].to_numpy(), rel=1e-5)
    assert (moved["seen_clean_loss"] != moved["clean_loss"]).all()
    assert (moved["seen_noisy_loss"] != moved["noisy_loss"]).all()


def test_the_rate_falls_along_the_cosine():
    """The first epoch has the full rate, the second 3/4 of it, by (1 + cos(pi / 3)) / 2."""
    falling = table(SMALL)
    constant = table(replace(SMALL, annealed=0))
    pd.testing.assert_frame_equal(falling[:2], constant[:2])
    assert abs(falling.loc[2, "train_loss"] - constant.loc[2, "train_loss"]) > 1e-6


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"annealed": 2}, "before the last of 3"),
        ({"width": 0}, "at least 1"),
        ({"weight_decay": -1.0}, "at least 0"),
        ({"data": DataConfig("mnist")}, "not of 'mnist'"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, why):
    with pytest.raises(ValueError, match=why):
        replace(SMALL, **change).validate()
