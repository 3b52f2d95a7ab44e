"""The settings that chapters share: valid, the paper's where it gives any, and those of the recorded runs."""

from dataclasses import replace

import pytest

from lib.beyond import presets as beyond_presets
from lib.experiments import prepare, with_seeds
from lib.paper import presets
from lib.paths import RECORDS
from lib.press.chapters import PROFILES
from lib.records import Store


@pytest.mark.parametrize("profile", PROFILES)
def test_every_preset_is_valid_at_every_profile(profile):
    for preset in (presets.binary, presets.mnist, presets.cifar10):
        preset(profile).validate()
        assert preset(profile, 0.2).noise.noise_rate == 0.2
    for width in presets.WIDTHS[profile]:
        experiment = presets.wide(profile, width)
        experiment.validate()
        assert experiment.model.widths == (width, width)


@pytest.mark.parametrize("profile", PROFILES)
def test_penalties_are_valid_at_every_profile(profile):
    assert beyond_presets.selective(profile, "baseline", 0.2, 4.0).strength == 0
    for condition in ("baseline", "global", "selective_49"):
        beyond_presets.selective(profile, condition, 0.2, 4.0).validate()


def test_the_penalty_preset_is_what_chapter_15_recorded():
    store = Store(RECORDS)
    assert all(store.has(one) for one in with_seeds(beyond_presets.selective("cpu", "selective_49", 0.2, 4.0), 10))


def test_the_paper_profile_is_what_appendix_b_gives():
    fcn, cnn, resnet = presets.binary("paper"), presets.mnist("paper"), presets.cifar10("paper")
    assert (fcn.model.widths, fcn.train.batch_size, fcn.noise.noise_rate) == ((512, 512), 256, 0.4)
    assert (cnn.model.widths, cnn.train.batch_size, cnn.noise.noise_rate) == ((32, 64, 64), 512, 0.3)
    assert (resnet.model.widths, resnet.train.batch_size, resnet.noise.noise_rate) == ((64,), 512, 0.4)
    assert all(one.data.train_size is None for one in (fcn, cnn, resnet))


@pytest.mark.parametrize(
    ("width", "images", "judged"),
    [(64, None, True), (32, 25_000, True), (16, None, False), (64, 6000, False), (32, 24_999, False)],
)
def test_a_resnet_is_judged_from_half_of_the_papers_scale(width, images, judged):
    one = presets.cifar10("paper")
    some = replace(one, model=replace(one.model, widths=(width,)), data=replace(one.data, train_size=images))
    assert presets.judges_resnet(some) == judged
    assert not presets.judges_resnet(presets.cifar10("smoke"))  # digits


def test_ten_classes_up_to_the_fit_are_the_chapter_on_many_classes_but_for_smoke():
    assert presets.ten_fitted("cpu") == presets.mnist("cpu")
    part = presets.ten_fitted("paper", 0.1)  # of the images, trained as at cpu
    assert (part.model, part.noise.noise_rate) == (presets.mnist("paper").model, 0.1)
    assert (part.data.train_size, part.train.lr) == (10_000, presets.mnist("cpu").train.lr)
    assert presets.ten_fitted("smoke").data == presets.mnist("smoke").data
    presets.ten_fitted("smoke").validate()


def test_the_noise_levels_share_their_training_at_the_rate_of_figure_7_and_are_shorter_at_others():
    for profile in ("cpu", "paper"):
        longer, shorter = presets.noise_level(profile, 0.3), presets.noise_level(profile, 0.1)
        assert longer == presets.ten_fitted(profile, 0.3)
        assert replace(shorter, noise=longer.noise, train=longer.train) == longer
        assert shorter.train.epochs < longer.train.epochs
    assert presets.noise_level("smoke", 0.1) == presets.mnist("smoke", 0.1)


def test_smoke_needs_no_download():
    for preset in (presets.binary, presets.mnist, presets.cifar10):
        assert prepare(preset("smoke")).task.train_labels.numel() > 0
        assert preset("smoke").data.name == "digits"


def test_the_binary_preset_is_the_run_that_chapter_2_recorded():
    """Both names must stand for one recorded run, or it would be trained twice."""
    store = Store(RECORDS)
    assert all(store.has(one) for one in with_seeds(presets.binary("cpu"), 10))
    assert all(store.has(one) for one in with_seeds(presets.binary("paper"), 5))
