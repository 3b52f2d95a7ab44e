"""Step 4: learning from two gradients with the ResNet-18: scans of the mix, closed loops, beside published tables."""

from dataclasses import replace

import numpy as np

from lib.beyond import published, scans
from lib.beyond.presets import two_gradients
from lib.models import ModelConfig
from tests.cuda.campaign import Result, Settings, Step
from tests.cuda.cases import TINY_RESNET18
from tests.cuda.recording import Unit, half, record

MIXES = tuple(round(0.30 + 0.05 * k, 2) for k in range(9))
REFRESH, RATES = (16, 1), (0.8, 0.4)
LOOP, DWELL, WARM_UP = tuple(round(0.10 + 0.12 * k, 2) for k in range(6)), 3, 20
PUBLISHED = {0.8: (0.38, 0.40, 0.42, 0.44, 0.46), 0.4: (0.42, 0.44, 0.46, 0.48, 0.50)}
SEEDS = 3


def at_size(settings: Settings, scan: scans.DualScan) -> scans.DualScan:
    """One seed, as many images as are carried; at --dry two mixes of a tiny network."""
    scan = replace(scan, data=half(scan.data), seeds=1)
    if not settings.dry:
        return scan
    data = replace(scan.data, name="digits", train_size=200, test_size=32)
    model = ModelConfig((TINY_RESNET18,), kind="resnet18", activation=scan.model.activation)
    dual = replace(scan.dual, batch_size=50)
    return replace(scan, data=data, model=model, dual=dual, mixes=scan.mixes[:2], epochs=1, milestones=())


def scan_units(settings: Settings) -> list[Unit]:
    """Mixes .30 to .70 at K = 16 and 1, for noise rate .8 and then .4."""
    found = []
    for rate in RATES:
        for refresh in REFRESH:
            scan = at_size(settings, replace(two_gradients("paper", rate, refresh), mixes=MIXES))
            # the second gradient costs a backward pass, two thirds of an epoch, at each refresh
            epochs = len(scan.mixes) * scan.epochs * (1 + 2 / 3 / refresh)
            found.append(Unit(f"scan K {refresh}", scan, settings.machine, epochs))
    return found


def loop_units(settings: Settings) -> list[Unit]:
    """A closed loop with each activation."""
    found = []
    for activation in ("relu", "leaky_relu"):
        one = two_gradients("paper", 0.8)
        one = at_size(settings, replace(one, model=replace(one.model, activation=activation)))
        mixes, dwell, warm_up = settings.pick((LOOP, DWELL, WARM_UP), (LOOP[:2], 1, 1))
        path = scans.closed_loop(mixes, dwell, one.dual.lr, warm_up=warm_up)
        led = scans.led_along(one, path)
        found.append(Unit(f"loop {activation}", led, settings.machine, sum(epochs for _, epochs, _ in path)))
    return found


def half_width_units(settings: Settings) -> list[Unit]:
    """The published mixes at half the width, three seeds: the whole protocol, but for the number of images."""
    found = []
    for rate, mixes in PUBLISHED.items():
        one = two_gradients("paper", rate)
        one = at_size(settings, replace(one, model=replace(one.model, widths=(32,)), mixes=mixes))
        for seed in range(settings.pick(SEEDS, 1)):
            run = replace(one, seed=seed)
            found.append(Unit(f"half width {rate:g}", run, settings.machine, len(run.mixes) * run.epochs))
    return found


def beside_published(settings: Settings, rate: float) -> Result:
    """Mean test errors published at half the width, by mix: what the records are set beside."""
    table = published.read("finite_size")
    rows = table[np.isclose(table["width"], 0.5) & np.isclose(table["noise_rate"], rate)]
    means = rows.groupby("mix")["test_error"].mean()
    return {f"{mix:g}": float(error) for mix, error in means.items()} | {"seeds": int(rows["seed"].nunique())}


def run(settings: Settings) -> Step:
    """Record what is missing."""
    step = Step(settings, "resnet18")
    record(settings, step, [*scan_units(settings), *loop_units(settings), *half_width_units(settings)])
    for rate in RATES:
        step.measure(f"published at half the width, noise rate {rate:g}", lambda r=rate: beside_published(settings, r))
    return step
