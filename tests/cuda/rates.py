"""Step 2: how fast the card is, and how near to that training, observing, the mixed step and replicas come."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch

from lib.beyond.presets import two_gradients
from lib.beyond.two_gradients import Dual
from lib.experiments import Experiment, Prepared, generator
from lib.models import ModelConfig
from lib.train import Machine, run_epoch, step_of
from tests.cuda.campaign import Settings, Step, rates_of
from tests.cuda.cases import TINY_RESNET18, WAYS, Case, Way, cases, dual_of, made, random_task
from tests.cuda.roofline import Rates, Work, timed, work_of

REPLICAS = 32


def epochs(ready: Prepared, one: Experiment, way: Way) -> Callable[[], float]:
    """A call is one epoch of training."""
    order = generator(0, "order")
    optimizer = torch.optim.SGD(ready.model.parameters(), lr=one.train.lr, momentum=one.train.momentum, fused=True)
    task, given = ready.task, ready.labels.given
    machine = Machine(given.device.type, compile=way.compile, graph=way.played)
    step = step_of(ready.model, task, given, one.train, optimizer, machine)
    return lambda: run_epoch(ready.model, task, given, one.train, optimizer, order, step=step)


def epoch_work(ready: Prepared, one: Experiment) -> Work:
    """Of one epoch, counted on one batch."""
    size, n = one.train.batch_size or len(ready.labels.given), len(ready.labels.given)
    part = replace(ready.task, train_images=ready.task.train_images[:size])
    optimizer = torch.optim.SGD(ready.model.parameters(), lr=0.0, fused=True)
    given = ready.labels.given[:size]
    config = replace(one.train, precision="float32")
    step = work_of(lambda: run_epoch(ready.model, part, given, config, optimizer, torch.Generator()))
    return step.times(n / min(size, n))


def measured(case: Case, way: Way, settings: Settings, rates: Rates) -> dict:
    """Seconds of training and of observing, beside what they should take."""
    one, ready = made(case, way, settings)
    work, watching = epoch_work(ready, one), work_of(lambda: ready.observer(ready.model))
    rounds = settings.pick(5, 1)
    with Machine(tf32=way.tf32).card():
        training = timed(epochs(ready, one, way), settings.device, rounds, warm=settings.pick(2, 1))
        observing = timed(lambda: ready.observer(ready.model), settings.device, rounds)
    precision = "tf32" if way.tf32 else way.precision
    expected = work.seconds(rates, precision)
    seconds = training + observing if case.observing else training
    return {
        "seconds": training, "expected": expected, "share": expected / training,
        "launches alone": 0.0 if way.played else work.launched(rates),
        "TFLOP": work.flops / 1e12, "GB": work.nbytes / 1e9,
        "observing": observing, "observing expected": watching.seconds(rates),
        "goal": case.goal, "met": seconds <= case.goal,
    }  # fmt: skip


def mixed_step(settings: Settings, rates: Rates, way: Way) -> dict:
    """An epoch of the ResNet-18's mixed step with K = 1, both gradients in each step, on 25,000 images."""
    n = settings.pick(25_000, 64)
    one = replace(two_gradients("paper", refresh=1), augment=True)
    if settings.dry:
        one = replace(one, model=replace(one.model, widths=(TINY_RESNET18,)), dual=replace(one.dual, batch_size=32))
    member, task = one.members(0)[0], random_task(n, settings.pick((3, 32, 32), (3, 8, 8)), 10)
    work = one_step(dual_of(one, [member], task, settings.device)).times(n / min(one.dual.batch_size, n))
    dual = dual_of(one, [member], task, settings.device, way)
    mix = torch.full((1, 1), 0.5, device=settings.device)
    # the cache would keep casts of weights that the next step has changed
    half = torch.autocast(
        settings.device.type, torch.bfloat16, enabled=way.precision == "bfloat16", cache_enabled=False
    )
    with half, Machine(tf32=way.tf32).card():
        seconds = timed(lambda: dual.epoch(mix, 0.1), settings.device, settings.pick(3, 1))
    precision = "tf32" if way.tf32 else way.precision
    expected = work.seconds(rates, precision)
    of_products = work.flops / getattr(rates, precision) / seconds
    return {
        "seconds": seconds, "expected": expected, "share": expected / seconds, "launches alone": work.launched(rates),
        "of the matrix rate": of_products, "goal": 0.5, "met": seconds <= 0.5 or of_products >= 0.35,
    }  # fmt: skip


def one_step(dual: Dual) -> Work:
    """Of a step on a batch."""
    batch = next(iter(dual.samples.batches(dual.config.batch_size)))
    mix = torch.full((1, 1), 0.5, device=batch.device)
    dual.module.train()
    return work_of(lambda: dual.step(batch, mix, 0.1))


def replicas(settings: Settings, model: ModelConfig, batch: int, images: int) -> dict:
    """An epoch of 32 networks that are trained together, against one."""
    one = two_gradients("cpu")
    one = replace(one, model=model, pool=1, dual=replace(one.dual, batch_size=batch))
    count = settings.pick(REPLICAS, 4)
    task, seconds = random_task(images, settings.pick((1, 28, 28), (1, 8, 8)), 10), {}
    for size in (1, count):
        members = [replace(one.members(0)[0], mixes=(k / count,)) for k in range(size)]
        dual = dual_of(one, members, task, settings.device)
        mix = torch.linspace(0, 1, size, device=settings.device).unsqueeze(1)
        seconds[size] = timed(lambda dual=dual, mix=mix: dual.epoch(mix, 0.1), settings.device, settings.pick(5, 1))
    ratio = seconds[count] / seconds[1]
    return {"seconds": seconds[count], "one": seconds[1], "ratio": ratio, "goal": 3.0, "met": ratio <= 3}


def jobs(settings: Settings, rates: Rates) -> Iterator[tuple[str, Callable[[], dict]]]:
    """All of it, the first ways of all networks first."""
    some = {case.name: case for case in cases(settings)}
    for rank in range(max(map(len, WAYS.values()))):
        for name, ways in WAYS.items():
            way = ways[rank] if rank < len(ways) else None
            if way is None or (settings.dry and way.compile):  # compiling takes a CPU half a minute
                continue
            if name in some:
                what = f"{name}, {some[name].images} images, {way.name}"
                yield what, partial(measured, some[name], way, settings, rates)
            else:
                yield f"{name}, {way.name}", partial(mixed_step, settings, rates, way)
        if rank == 0:
            large = (ModelConfig((512, 512)), 256, settings.pick(12_214, 128))
            small = (ModelConfig((64, 64), batch_norm=True), 64, settings.pick(5000, 128))
            yield "32 replicas of the fcn against one", partial(replicas, settings, *large)
            yield "32 replicas of the small fcn of two gradients against one", partial(replicas, settings, *small)


def run(settings: Settings) -> Step:
    """Measure what is missing."""
    rates = rates_of(settings)
    step = Step(settings, "rates")
    print(step.results["card"]["in words"], flush=True)
    for what, job in jobs(settings, rates):
        step.measure(what, job, takes=settings.pick(20.0, 0.0))
    return step
