"""Step 1: is the card right? Its numbers against float64 on the CPU, other precisions on claims, twice the same."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lib.beyond.presets import two_gradients
from lib.experiments import Experiment
from lib.models import ModelConfig
from lib.paper import presets
from lib.records import run_now
from lib.train import Machine
from tests.cuda.campaign import Result, Settings, Step
from tests.cuda.cases import TINY_RESNET18, Way, cases, dual_of, made, random_task
from tests.cuda.claims import claims
from tests.cuda.quantities import PIECEWISE_LINEAR, QUANTITIES, Setup, networks
from tests.cuda.rates import epochs
from tests.cuda.roofline import sync

MOST = 1e-4  # relative error in float32 without tf32
STEPS = 3


def apart(a: Tensor, b: Tensor) -> float:
    """Relative distance of what a card gave from what is right."""
    return ((a.cpu().double() - b).norm() / b.norm()).item()


def against_float64(settings: Settings, config: ModelConfig, classes: int, quantity: Callable) -> Result:
    """A quantity in float32 on the device, and in float64 on the CPU."""
    right = quantity(Setup.of(config, settings, classes, "cpu", torch.float64))
    float32 = quantity(Setup.of(config, settings, classes, "cpu", torch.float32))
    setup = Setup.of(config, settings, classes, settings.device.type, torch.float32)
    with Machine(tf32=False).card():
        error = apart(quantity(setup), right)
    with Machine(tf32=True).card():
        rounded = apart(quantity(setup), right)
    return {
        "relative error": error,
        "on the CPU": apart(float32, right),
        "in tf32": rounded,
        "goal": MOST,
        "met": error <= MOST,
    }


def mixed_steps(settings: Settings, config: ModelConfig, members: int) -> Result:
    """How far three steps with two gradients lead."""
    one = two_gradients("cpu")
    one = replace(one, model=config, pool=1, augment=members == 1, mixes=one.mixes[:members])
    task = random_task(settings.pick(256, 64), (3, *settings.pick((32, 32), (8, 8))), 10)
    moved, cpu = {}, torch.device("cpu")
    for name, device, kind in (
        ("right", cpu, torch.float64), ("found", settings.device, torch.float32), ("on the CPU", cpu, torch.float32),
    ):  # fmt: skip
        dual = dual_of(one, one.members(0), task, torch.device("cpu"))
        for part, value in vars(dual.samples).items():
            if isinstance(value, Tensor):
                setattr(dual.samples, part, value.to(device, kind if value.is_floating_point() else None))
        dual = type(dual)(dual.module.to(device, kind), one.dual, dual.samples)
        mix = torch.tensor([[member.mixes[0]] for member in one.members(0)], device=device, dtype=kind)
        start = dual.flat.values.clone()
        with Machine(tf32=False).card():
            for batch in list(dual.samples.batches(32))[:STEPS]:
                dual.step(batch, mix, 0.01)
        moved[name] = (dual.flat.values - start).detach()
    error, float32 = (apart(moved[name], moved["right"]) for name in ("found", "on the CPU"))
    return {"relative error": error, "on the CPU": float32, "goal": MOST, "met": error <= MOST}


def repeated(settings: Settings, one: Experiment) -> Result:
    """The same training twice: the largest difference of any number."""
    short = replace(one, train=replace(one.train, epochs=2))
    a, b = (run_now(short, machine=settings.machine, folder=settings.data, resume=False, progress=False).history
            for _ in range(2))  # fmt: skip
    return {"largest difference": float((a - b).abs().max().max())}


def played(settings: Settings, place: int) -> Result:
    """How far weights are apart after an epoch of steps that are played from a graph, and of steps that are called.

    Beside it how far two epochs of called steps are apart: what the card's own sums in any order make of it.
    """
    case, weights = cases(settings)[place], []
    for way in (Way("called"), Way("called"), Way("played", played=True)):
        with Machine(tf32=False).card():
            one, ready = made(case, way, settings)
            epochs(ready, one, way)()
        weights.append(torch.cat([p.detach().flatten() for p in ready.model.parameters()]).cpu().double())
    return {"relative difference": apart(weights[2], weights[0]), "called twice": apart(weights[1], weights[0])}


def waits(settings: Settings) -> Result:
    """How often steps of training with two gradients make the host wait, as CUDA itself sees it; a CPU never does."""
    one = replace(two_gradients("cpu"), pool=1)
    dual = dual_of(one, one.members(0), random_task(256, (1, 8, 8), 10), settings.device)
    batches, mix = list(dual.samples.batches(32)), torch.zeros(len(one.members(0)), 1, device=settings.device)
    sync(settings.device)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        if settings.device.type == "cuda":
            torch.cuda.set_sync_debug_mode("warn")
        try:
            for batch in batches:
                dual.step(batch, mix, 0.1)
        finally:
            if settings.device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")
    found = [f"{Path(one.filename).name}:{one.lineno}" for one in seen if "synchroniz" in str(one.message)]
    return {"waits": len(found), "where": ", ".join(found), "goal": 0, "met": not found}


def run(settings: Settings) -> Step:
    """Check what is not checked yet."""
    step = Step(settings, "correct")
    for name, (config, classes) in networks(settings).items():
        for what, quantity in QUANTITIES.items():
            if what not in PIECEWISE_LINEAR or name == "cnn":
                step.measure(f"{what}, {name}", partial(against_float64, settings, config, classes, quantity))
    small = ModelConfig(settings.pick((64, 64), (8, 8)), batch_norm=True)
    large = ModelConfig(settings.pick((64,), (TINY_RESNET18,)), kind="resnet18")
    step.measure("mixed step, replicas of the fcn", lambda: mixed_steps(settings, small, 4))
    step.measure("mixed step, resnet18", lambda: mixed_steps(settings, large, 1))
    step.measure("waits of the mixed step", lambda: waits(settings))
    for place, name in enumerate(networks(settings)):
        step.measure(f"played from a graph, {name}", partial(played, settings, place))
    profile = settings.pick("cpu", "smoke")
    for name, one in (("binary", presets.binary(profile)), ("mnist", presets.mnist(profile))):
        step.measure(f"repeatability, {name}", lambda one=one: repeated(settings, one))
        half = replace(one, train=replace(one.train, precision="bfloat16"))
        device = settings.device.type
        ways = {"float32": (one, Machine(device)), "bfloat16": (half, Machine(device, channels_last=name == "mnist"))}
        if not settings.dry:  # compiling takes a CPU half a minute
            ways["compiled"] = (one, Machine(device, compile=True))
        for way, (some, machine) in ways.items():
            before = step.results.get(f"claims, {name}, float32") if way != "float32" else None
            before = before if before and "verdicts" in before else None
            step.measure(f"claims, {name}, {way}", lambda s=some, m=machine, b=before: claims(settings, s, m, b),
                         takes=settings.pick(60.0, 0.0))  # fmt: skip
    return step
