"""Step 5: a penalty on the samples of some classes, all of MNIST, five seeds a condition."""

from dataclasses import replace

from lib.beyond.penalties import CONDITIONS
from lib.beyond.presets import selective
from tests.cuda.campaign import Settings, Step
from tests.cuda.recording import Unit, record

STRENGTH = {0.2: 4.0, 0.0: 0.6}  # by noise rate, as the chapter on selective boundaries has them
SEEDS = 5
PASSES = 5.0  # forward-mode passes of two directions, and what goes back through them, in epochs of training


def units(settings: Settings) -> list[Unit]:
    """Seed by seed, so that what is there is always of all conditions."""
    found = []
    for rate, strength in settings.pick(STRENGTH, {0.2: 1.0}).items():
        for seed in range(settings.pick(SEEDS, 1)):
            for condition in CONDITIONS:
                one = replace(selective(settings.pick("paper", "smoke"), condition, rate, strength), seed=seed)
                one = replace(one.short(1), data=replace(one.data, train_size=128)) if settings.dry else one
                epochs = one.train.epochs * (1.0 if condition == "baseline" else PASSES)
                found.append(Unit(f"{condition} {rate:g}", one, settings.machine, epochs))
    return found


def run(settings: Settings) -> Step:
    """Record what is missing."""
    step = Step(settings, "selective")
    record(settings, step, units(settings))
    return step
