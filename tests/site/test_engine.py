"""The playground's engine, run under Node: from `lib`'s start it gives `lib`'s numbers, and its own draws are fair."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from lib.data import DataConfig, pixels
from lib.experiments import Experiment, generator, prepare
from lib.gradients import own_class_subsets, subset_gradients
from lib.models import ModelConfig
from lib.noise import NoiseConfig
from lib.observe import ObserveConfig
from lib.site import playground
from lib.train import TrainConfig, train

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(not NODE, reason="needs node")


def engine(job, **given):
    """What the engine answers to a job of engine.mjs."""
    script = Path(__file__).with_name("engine.mjs")
    task = json.dumps({"job": job, "engine": str(playground.STATIC / "engine.js"), **given})
    done = subprocess.run([NODE, str(script)], input=task, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def packed(tensor):
    return base64.b64encode(np.ascontiguousarray(tensor.detach().numpy(), np.float32).tobytes()).decode()


def linear_layers(model):
    return [layer for layer in model if isinstance(layer, torch.nn.Linear)]


def exported(ready):
    """The start of a training, as the engine takes it: weights lie input by input."""
    task, labels = ready.task, ready.labels
    layers = [
        {
            "inputs": layer.in_features,
            "outputs": layer.out_features,
            "weights": packed(layer.weight.T),
            "biases": packed(layer.bias),
        }
        for layer in linear_layers(ready.model)
    ]
    parts = {
        part: {"images": packed(pixels(images, task.white).flatten(1)), "labels": true.tolist()}
        for part, images, true in (
            ("train", task.train_images, task.train_labels),
            ("test", task.test_images, task.test_labels),
        )
    }
    described = {"classes": task.classes, "outputs": task.outputs, **parts}
    return {
        "layers": layers,
        "task": described,
        "given": labels.given.tolist(),
        "watched": ready.observer.watched.tolist(),
    }


def flat(layers):
    """A gradient of the engine in PyTorch's order, each weight matrix output by output."""
    parts = []
    for weights, biases in layers:
        bias = np.frombuffer(base64.b64decode(biases), np.float32)
        matrix = np.frombuffer(base64.b64decode(weights), np.float32).reshape(-1, len(bias))
        parts += [matrix.T.ravel(), bias]
    return np.concatenate(parts)


CASES = {
    # 200 steps each. At a full-batch rate of .3 two trainings that differ in the last bit already part (the edge of
    # stability): no such case can be compared.
    "two": (DataConfig("digits", classes=(7, 9)), TrainConfig(lr=0.03, epochs=25, batch_size=32, momentum=0.9)),
    "ten": (DataConfig("digits"), TrainConfig(lr=0.03, epochs=10, batch_size=61, momentum=0.9)),
    "full batch": (DataConfig("digits", classes=(3, 8)), TrainConfig(lr=0.1, epochs=200, batch_size=None)),
}


@pytest.mark.parametrize("case", CASES)
def test_from_the_same_start_the_engine_gives_the_numbers_of_lib(case):
    data, training = CASES[case]
    experiment = Experiment(
        data, NoiseConfig(0.4), ModelConfig((128, 128)), training, ObserveConfig(watched=24), seed=3
    )
    ready = prepare(experiment)
    n = len(ready.labels.given)
    draw = generator(3, "order")
    orders = [torch.randperm(n, generator=draw).tolist() for _ in range(training.epochs)]
    steps = -(-n // (training.batch_size or n)) * training.epochs
    assert steps == 200
    settings = {"rate": training.lr, "momentum": training.momentum, "batch": training.batch_size or 0}
    subsets = own_class_subsets(ready.labels)
    start = exported(ready)

    def gradients():
        found = subset_gradients(
            ready.model, ready.task.train_images, ready.labels, subsets, white=ready.task.white
        ).gradients
        return {f"{kind}_{c}": g.numpy() for (kind, c), g in found.items()}

    before = gradients()
    history = train(
        ready.model, ready.task, ready.labels, training, ready.observer, generator(3, "order"), progress=False
    )
    after = gradients()
    ours = engine("train", settings=settings, start=start, orders=orders)
    assert len(ours["rows"]) == len(history) == training.epochs + 1
    for row, expected in zip(ours["rows"], history, strict=True):
        for part in ("train", "clean", "noisy", "test"):
            assert row[f"{part}_loss"] == pytest.approx(expected[f"{part}_loss"], rel=1e-4)
            images = {"test": len(ready.task.test_labels)}.get(part, int(ready.labels.is_noisy.sum()))
            assert abs(row[f"{part}_error"] - expected[f"{part}_error"]) < 1.5 / images  # one image may lie on the edge
        gradient_columns = [name for name in expected if name.startswith(("norm_", "ratio"))]
        assert len(gradient_columns) == 3 * ready.task.classes + 1
        for name in gradient_columns:
            assert row[name] == pytest.approx(expected[name], rel=1e-3), name
        for k, shown in enumerate(row["watched"]):  # lib: the probability of class 1, or of the given label
            image = ready.observer.watched[k]
            given, two = int(ready.labels.given[image]), ready.task.outputs == 1
            probability = shown["given"] if given == 1 or not two else 1 - shown["given"]
            assert probability == pytest.approx(expected[f"watched_{k}"], abs=1e-3)
    for found, expected in zip(ours["gradients"], (before, after), strict=True):
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            apart = np.linalg.norm(flat(found[name]) - gradient) / np.linalg.norm(gradient)
            assert apart < 1e-3, name


SETTINGS = {"classes": [7, 9], "noise": 0.4, "width": 128, "rate": 0.03, "momentum": 0.9, "batch": 32, "seed": 0}


@pytest.fixture(scope="module")
def digits():
    return playground.digits()


def test_the_digits_come_out_as_they_went_in(digits):
    images, labels = load_digits(return_X_y=True)
    drawn = engine("start", digits=digits, settings=SETTINGS | {"classes": list(range(10))})
    seen = {}
    for part in ("train", "test"):
        pictures = np.reshape(drawn[part]["images"], (-1, 64))
        for index, picture, label in zip(drawn[part]["index"], pictures, drawn[part]["labels"], strict=True):
            seen[index] = label
            assert np.array_equal(picture * 16, images[index])
    assert [seen[i] for i in range(len(labels))] == labels.tolist()


@pytest.mark.parametrize("classes", [[7, 9], list(range(10))])
@pytest.mark.parametrize("noise", [0, 0.1, 0.45])
def test_what_is_drawn_is_drawn_as_in_lib(digits, classes, noise):
    drawn = engine("start", digits=digits, settings=SETTINGS | {"classes": classes, "noise": noise})
    ready = prepare(
        Experiment(
            DataConfig("digits", tuple(classes)), NoiseConfig(noise), ModelConfig((128, 128)), TrainConfig(0.1, 1)
        )
    )
    for part in ("train", "test"):
        assert np.array_equal(np.bincount(drawn[part]["labels"]), getattr(ready.task, f"{part}_labels").bincount())
    true, given = np.array(drawn["train"]["labels"]), np.array(drawn["given"])
    realised = [(given != true)[true == c].mean() for c in range(len(classes))]
    assert realised == pytest.approx(ready.labels.realised_rate())
    wrong = (given - true)[given != true] % len(classes)
    if noise == 0.45 and len(classes) == 10:  # every other class is as likely; the least of 9 counts of about 60
        assert np.bincount(wrong, minlength=10)[1:].min() > 35
    assert set(drawn["watched"]) <= set(np.flatnonzero(given != true))
    assert len(set(drawn["watched"])) == len(drawn["watched"]) == (24 if noise else 0)
    for layer, torch_layer in zip(drawn["layers"], linear_layers(ready.model), strict=True):
        for name, like in (("weights", torch_layer.weight), ("biases", torch_layer.bias)):
            values, bound = np.array(layer[name]), layer["inputs"] ** -0.5
            assert len(values) == like.numel()
            assert np.abs(values).max() <= bound
            if len(values) > 100:
                assert abs(values.mean()) < 4 * bound / np.sqrt(3 * len(values))
                assert np.abs(values).max() > 0.95 * bound
    assert [sorted(order) for order in drawn["orders"]] == [list(range(7))] * 2
    assert drawn["orders"][0] != drawn["orders"][1]


def test_a_seed_fixes_everything_and_another_changes_everything(digits):
    first, again, other = (engine("start", digits=digits, settings=SETTINGS | {"seed": seed}) for seed in (0, 0, 1))
    assert first == again
    for name in first:
        assert first[name] != other[name], name


def test_halves_are_rounded_as_python_rounds():
    values = [0, 0.4, 0.5, 0.6, 1.5, 2.5, 3.5, 24.5, 0.3 * 5, 0.1 * 35]
    assert engine("rounded", values=values) == [round(value) for value in values]


def test_the_generator_is_sfc32_as_published():
    """An independent rendering of the documented generator, on Python's integers."""
    word = 2**32
    seed, purpose = 12345, "weights"
    a, b, c, count = seed, 0x811C9DC5, 0x9E3779B9, 1
    for letter in purpose.encode():
        b = (b ^ letter) * 0x01000193 % word
    expected = []
    for _ in range(15 + 5):
        total = (a + b + count) % word
        count += 1
        a = b ^ (b >> 9)
        b = (c + (c << 3)) % word
        c = ((c << 21 | c >> 11) + total) % word
        expected.append(total / word)
    assert engine("numbers", seed=seed, purpose=purpose, count=5) == expected[15:]


def test_numbers_are_spread_evenly():
    numbers = np.array(engine("numbers", seed=0, purpose="order", count=20000))
    counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 45  # chi-square of 19 degrees, p = .0007
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.03


def drive(digits, *messages):
    worker = str(playground.STATIC / "worker.js")
    return [
        (one["kind"], one["id"], one.get("epoch"))
        for one in engine("drive", digits=digits, worker=worker, messages=list(messages))
    ]


def test_the_driver_trains_as_far_as_it_is_told(digits):
    settings = SETTINGS | {"width": 4}
    sent = drive(
        digits,
        {"kind": "reset", "id": 1, "settings": settings},
        {"kind": "train", "until": 2},
        {"kind": "pause"},
        {"kind": "train", "until": 3},
        {"kind": "reset", "id": 2, "settings": settings},
    )
    first, second = [("row", 1, 0), ("idle", 1, None)], [("row", 1, 1), ("row", 1, 2), ("idle", 1, None)]
    rest = [("idle", 1, None), ("row", 1, 3), ("idle", 1, None), ("row", 2, 0), ("idle", 2, None)]
    assert sent == first + second + rest


def test_the_driver_says_where_a_training_diverges(digits):
    sent = drive(
        digits,
        {"kind": "reset", "id": 1, "settings": SETTINGS | {"width": 4, "rate": 1e38}},
        {"kind": "train", "until": 9},
    )
    assert [kind for kind, _, _ in sent] == ["row", "idle", "diverged", "idle"]
    assert sent[2] == ("diverged", 1, 1)
