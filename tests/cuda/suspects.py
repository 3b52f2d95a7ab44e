"""Step 6: which of 25,000 photographs' labels are wrong, end to end, beside cleanlab with the same network."""

import importlib.util
from dataclasses import replace

from lib.data import DataConfig
from lib.models import ModelConfig
from lib.suspects.compare import METHODS, FindWrongLabels
from lib.suspects.early_stop import Recipe
from tests.cuda.campaign import Result, Settings, Step
from tests.cuda.pack import training_images
from tests.cuda.recording import PHOTOGRAPHS, Unit, recorded

GOAL = 60.0  # seconds


def setting(settings: Settings) -> FindWrongLabels:
    """Symmetric noise in all ten classes, the recipe's own network for photographs."""
    if settings.dry:
        data, model = DataConfig("digits", train_size=128), ModelConfig((16,))
        return FindWrongLabels(data=data, setting="symmetric", noise_rate=0.2, model=model, recipe=Recipe(epochs=2))
    data, model = DataConfig("cifar10", train_size=PHOTOGRAPHS), ModelConfig((16,), kind="resnet9")
    return FindWrongLabels(data=data, setting="symmetric", noise_rate=0.2, model=model, recipe=Recipe(lr=0.05))


def judged(settings: Settings, one: FindWrongLabels) -> Result:
    """How each method does and how long it takes."""
    rows = one.rows(settings.device, settings.data)
    found = {METHODS[int(row["method"])]: {k: row[k] for k in ("average_precision", "seconds")} for row in rows}
    ours = found["suspects"]
    return {
        "seconds": ours["seconds"], "average precision": ours["average_precision"], "epochs": rows[0]["epochs"],
        "goal": GOAL, "met": ours["seconds"] <= GOAL, "methods": found,
    }  # fmt: skip


def run(settings: Settings) -> Step:
    """Judge, with rivals where cleanlab is installed, and without them first: they take five trainings."""
    step, one = Step(settings, "suspects"), setting(settings)
    if not settings.dry and not training_images(settings.data, "cifar10"):
        step.waiting.append("suspects")
        print("suspects waits: there is no CIFAR-10 in the data folder")
        return step
    alone = replace(one, rivals=False)
    step.measure("labels judged", lambda: judged(settings, alone), takes=settings.pick(90.0, 0.0))
    if importlib.util.find_spec("cleanlab") is None:
        print("cleanlab is not installed here: its five trainings are left out")
        return step
    unit = Unit("with rivals", one, settings.machine, 0.0)
    step.measure("with rivals", lambda: recorded(unit, settings), takes=settings.pick(400.0, 0.0))
    return step
