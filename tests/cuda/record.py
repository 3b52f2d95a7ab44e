"""Step 3: trainings at the paper's scale. ResNet-9 on photographs, CNN at four noise rates, two classes, widths."""

from dataclasses import replace

from lib.experiments import Experiment
from lib.paper import presets
from lib.train import Machine
from tests.cuda import wanted
from tests.cuda.campaign import Settings, Step
from tests.cuda.recording import Unit, half, record

OBSERVING = 2.0  # an epoch with observing, in epochs of training


def units(settings: Settings) -> list[Unit]:
    """Those of ``wanted.json`` in the data folder, or else of the campaign's own list; in the order of their worth."""
    if asked := wanted.read(settings.data):
        return [unit(one.slug.split("-seed")[0], one, settings) for one in asked]
    profile = settings.pick("paper", "smoke")
    photographs = presets.cifar10(profile)
    found = [("resnet9", replace(photographs, data=half(photographs.data)), 3)]
    found += [(f"cnn {rate:g}", presets.mnist(profile, rate), 1) for rate in presets.RATES[profile]]
    found += [("fcn", presets.binary(profile), 10)]
    found += [(f"width {width}", presets.wide(profile, width), 5) for width in presets.WIDTHS[profile]]
    return [
        unit(what, replace(one, seed=seed), settings)
        for what, one, seeds in found
        for seed in range(settings.pick(seeds, 1))
    ]


def unit(what: str, one: Experiment, settings: Settings) -> Unit:
    """A training; at --dry of two epochs."""
    one = one.short(2) if settings.dry else one
    channels_last = one.model.kind != "fcn" and settings.tf32  # products of full float32 have no use for it
    machine = Machine(settings.device.type, channels_last=channels_last, tf32=settings.tf32)
    return Unit(what, one, machine, OBSERVING * getattr(one.train, "epochs", 1))


def run(settings: Settings) -> Step:
    """Record what is missing."""
    step = Step(settings, "record")
    record(settings, step, units(settings))
    return step
