"""The training that stops by itself: what the network sees, averaged weights, the stop, and going on after a stop."""

import io
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lib.checkpoint import Checkpoint
from lib.data import DataConfig, load
from lib.experiments import generator
from lib.noise import symmetric
from lib.suspects import early_stop
from lib.suspects.early_stop import Inputs, Recipe, _Training, stratified, train_until_stop
from lib.train import TrainingDiverged

CPU = torch.device("cpu")


def network(dropout: float) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Dropout(dropout), nn.ReLU(), nn.Linear(32, 10))


def save_always(monkeypatch) -> None:
    """Checkpoints after every round."""
    monkeypatch.setattr(early_stop, "Checkpoint", lambda path, key, _, others: Checkpoint(path, key, 0.0, others))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_an_interrupted_training_goes_on_to_the_same_numbers(dropout, tmp_path, monkeypatch):
    task = load(DataConfig("digits"))
    given = symmetric(task.train_labels, 0.3, 10, generator(0, "noise")).given
    inputs, recipe = Inputs(task.train_images, CPU), Recipe(epochs=24, device="cpu")
    run = partial(train_until_stop, inputs=inputs, given=given, recipe=recipe, progress=False)
    whole = run(network(dropout))
    save_always(monkeypatch)
    path, rounds = tmp_path / "checkpoint.pt", []

    def interrupt(model, averaged):
        rounds.append(1)
        if len(rounds) == 3:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        run(network(dropout), watch=interrupt, checkpoint=path)
    assert path.exists()
    again = run(network(dropout), checkpoint=path)
    assert path.exists()  # until what was found is written
    assert len(whole.history) == len(again.history) > 3
    for mine, other in zip(whole.history, again.history, strict=True):
        assert {k: v for k, v in mine.items() if "seconds" not in k} == {
            k: v for k, v in other.items() if "seconds" not in k
        }
    assert whole.stop == again.stop
    assert torch.equal(whole.mean_margin, again.mean_margin)
    assert torch.equal(whole.residual, again.residual)
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True)
    )


class Largest(TorchDispatchMode):
    """The most bytes that any tensor took that was made inside."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(made, Tensor) and "split" not in func.__name__:
                self.bytes = max(self.bytes, made.nbytes)
        return result


@pytest.mark.parametrize("side", [28, 64])
def test_standardising_images_takes_little_memory_whatever_their_size(side):
    images = torch.zeros(4096, 3 if side > 28 else 1, side, side, dtype=torch.uint8)
    with Largest() as largest:
        Inputs(images, CPU)
    assert 0 < largest.bytes <= 2**28


# What the network sees -----------------------------------------------------------------------------------------


def drawn(kind: str) -> Tensor:
    """Samples, one channel or feature of which is the same in all."""
    rng = np.random.default_rng(0)
    if kind == "uint8":
        values = rng.integers(0, 256, (50, 3, 5, 4), dtype=np.uint8)
    elif kind == "float":
        values = rng.normal(3, [[[2]], [[1]], [[30]]], (50, 3, 5, 4)).astype(np.float32)
    else:
        values = rng.normal(-4, [1, 20, 0.01], (50, 3)).astype(np.float32)
    values[:, 1] = 7
    return torch.from_numpy(values)


@pytest.mark.parametrize("kind", ["uint8", "float", "embeddings"])
def test_samples_are_standardised_by_channel_or_feature(kind, monkeypatch):
    values = drawn(kind)
    before = values.clone()
    x = values.numpy().astype(float)
    axes = (0, *range(2, x.ndim))
    mean, deviation = x.mean(axes, keepdims=True), x.std(axes, keepdims=True)
    deviation[:, 1] = 1  # a constant is moved to 0, and not divided by nothing
    for chunk in (early_stop.CHUNK, 100):
        monkeypatch.setattr(early_stop, "CHUNK", chunk)
        inputs = Inputs(values, CPU)
        index = torch.tensor([3, 49, 0, 3])
        seen = inputs(index)
        assert seen.dtype == torch.float32
        np.testing.assert_allclose(seen.numpy(), ((x - mean) / deviation)[index.numpy()], rtol=1e-4, atol=1e-4)
        assert (seen[:, 1] == 0).all()
    assert len(inputs) == 50
    assert inputs.shape == values.shape[1:]
    assert inputs.values.dtype == values.dtype
    assert torch.equal(values, before)
    other = values[:9] // 2 + 1
    further = Inputs.like(inputs, other)
    expected = (other.numpy().astype(float) - mean) / deviation
    np.testing.assert_allclose(further(torch.arange(9)).numpy(), expected, rtol=1e-3, atol=1e-3)
    assert len(further) == 9


@pytest.mark.parametrize(("share", "expected"), [(0.1, [10, 2, 1, 1, 0]), (0.5, [50, 10, 2, 1, 0])])
def test_a_share_of_each_class_is_held_out(share, expected, generator):
    sizes = [100, 20, 4, 2, 1]
    given = torch.arange(5).repeat_interleave(torch.tensor(sizes))[torch.randperm(127, generator=generator)]
    held = stratified(given, share, generator)
    assert [int((held & (given == c)).sum()) for c in range(5)] == expected
    again = stratified(given, share, torch.Generator().manual_seed(0))
    assert torch.equal(again, stratified(given, share, torch.Generator().manual_seed(0)))
    assert not torch.equal(again, stratified(given, share, torch.Generator().manual_seed(1)))


# The averaged weights, the margins, the stop -------------------------------------------------------------------


def points(count: int = 40, classes: int = 3) -> tuple[Inputs, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return Inputs(torch.randn(count, 5, generator=rng), CPU), torch.randint(0, classes, (count,), generator=rng)


def small(*between: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), *between, nn.Tanh(), nn.Linear(4, 3))


@pytest.mark.parametrize("steps", [90, 1100])
def test_averaged_weights_are_the_moving_average_over_all_steps(steps):
    """Of each step the average keeps (1 + s) / (10 + s) after s steps, but at most .99; and nothing of the start."""
    inputs, given = points()
    model, passed = small(nn.BatchNorm1d(4)), []

    def note(module: nn.Module, _) -> None:
        if module is model and model.training:
            passed.append({name: value.clone() for name, value in model.state_dict().items()})

    model.register_forward_pre_hook(note)
    run = _Training(model, inputs, given, Recipe(batch_size=4, device="cpu"))
    assert len(run.learnt) % 4 != 1
    while len(passed) < steps:
        run._epoch()
    passed.append({name: value.clone() for name, value in model.state_dict().items()})
    for name, found in run.averaged.module.state_dict().items():
        values = [state[name].double().numpy() for state in passed[1:]]
        expected = values[0]
        for s, value in enumerate(values[1:], start=1):
            kept = min(0.99, (1 + s) / (10 + s))
            expected = kept * expected + (1 - kept) * value
        if name.endswith("num_batches_tracked"):
            expected = values[-1]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5, err_msg=name)
    assert any(not torch.allclose(p, q, atol=1e-3) for p, q in zip(
        model.parameters(), run.averaged.module.parameters(), strict=True
    ))  # fmt: skip


def margins_of(h: Tensor, given: Tensor) -> list[float]:
    return [
        row[label] - max(value for c, value in enumerate(row) if c != label)
        for row, label in zip(h.tolist(), given.tolist(), strict=True)
    ]


def one_left_over(batch: int) -> bool:
    inputs, given = points()
    return len(_Training(small(), inputs, given, Recipe(device="cpu")).learnt) % batch == 1


@pytest.mark.parametrize(
    "batch",
    [8, 17],
)
def test_the_mean_margin_of_a_network_that_does_not_move_is_its_margin(batch):
    inputs, given = points()
    assert one_left_over(batch) == (batch == 17)
    model = small()
    expected = margins_of(model(inputs(torch.arange(40))), given)
    found = train_until_stop(
        model, inputs, given, Recipe(lr=1e-30, batch_size=batch, epochs=24, device="cpu"), progress=False
    )
    assert 0 < int(found.held_out.sum()) < 20
    np.testing.assert_allclose(found.mean_margin.numpy(), expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        missing = 1 - model(inputs(torch.arange(40))).softmax(1)[torch.arange(40), given]
    assert not found.residual[found.held_out].any()
    torch.testing.assert_close(found.residual[~found.held_out], missing[~found.held_out], rtol=1e-4, atol=1e-5)


def test_the_mean_margin_of_a_network_that_moves_is_the_mean_of_what_was_seen(monkeypatch):
    monkeypatch.setattr(early_stop, "ROUND", 1)
    inputs, given = points()
    model, seen = small(), []
    run = partial(train_until_stop, inputs=inputs, given=given, progress=False)
    model.register_forward_hook(lambda module, _, h: seen.append(h.detach().clone()) if module is model else None)
    everything = []

    def watch(_, averaged: nn.Module) -> dict:
        with torch.no_grad():
            everything.append(margins_of(averaged(inputs(torch.arange(40))), given))
        return {}

    found = run(model, recipe=Recipe(batch_size=64, epochs=7, patience=7, device="cpu"), watch=watch)
    assert len(seen) == len(everything) == found.history[-1]["epoch"] == 7
    held = found.held_out.numpy()
    np.testing.assert_allclose(found.mean_margin.numpy()[held], np.mean(everything, 0)[held], rtol=1e-4, atol=1e-5)
    hits, missing, order = [], [], generator(0, "order")  # one batch holds all samples that are learnt
    where = (~found.held_out).nonzero().squeeze(1)
    for h in seen:
        shuffled = where[torch.randperm(len(where), generator=order)]
        row, below = torch.zeros(2, 40, dtype=torch.float64)
        row[shuffled] = torch.tensor(margins_of(h, given[shuffled]), dtype=torch.float64)
        below[shuffled] = 1 - h.double().softmax(1)[torch.arange(len(h)), given[shuffled]]
        hits.append(row)
        missing.append(below)
    np.testing.assert_allclose(found.mean_margin.numpy()[~held], torch.stack(hits).mean(0)[where], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.residual.double(), torch.stack(missing).mean(0), rtol=1e-4, atol=1e-5)


def stop_of(seen: list[float], patience: int) -> tuple[int, int]:
    """Rounds until training ends and the round that is kept, by what the text says.

    A round's value is its mean with its neighbours; it is known when the next
    round is over. Training ends after ``patience`` rounds, so valued, that were no better.
    """

    def value(k: int, among: list[float]) -> float:
        return float(np.mean(among[max(0, k - 1) : k + 2]))

    rounds = len(seen)
    for t in range(2, len(seen) + 1):
        valued = [value(k, seen[:t]) for k in range(t - 1)]
        if len(valued) - 1 - valued.index(max(valued)) >= patience:
            rounds = t
            break
    among = seen[:rounds]
    return rounds, int(np.argmax([value(k, among) for k in range(rounds)]))


SCRIPTS = {
    "rises and falls": [0, 0.25, 0.5, 0.75, 0.5, 0.25, 0.25, 0, 0, 0, 0, 0],
    "a single good round among bad ones": [0, 0, 1, 0, 0.5, 0.75, 0.75, 0.5, 0, 0, 0, 0],
    "falls from the start": [1, 0.75, 0.5, 0.25, 0, 0, 0, 0, 0, 0, 0, 0],
    "rises to the end": [k / 16 for k in range(12)],
    "stays": [0.5] * 12,
    "two hills": [0, 0.5, 0.5, 0.5, 0, 0, 0, 1, 1, 1, 0.5, 0],
    "better at the very end": [0.5, 0.5, 0.25, 0.25, 0.25, 1, 0, 0, 0, 0, 0, 1],
}


@pytest.mark.parametrize("patience", [1, 3, 12])
@pytest.mark.parametrize("name", SCRIPTS)
def test_training_ends_when_answers_get_worse_and_the_best_round_is_kept(name, patience, monkeypatch):
    script, told, states = SCRIPTS[name], iter(SCRIPTS[name]), []
    monkeypatch.setattr(early_stop, "ROUND", 1)
    monkeypatch.setattr(_Training, "_ask", lambda run: (torch.full((len(run.held),), len(states) + 1.0), next(told)))

    def watch(model: nn.Module, averaged: nn.Module) -> dict[str, float]:
        states.append({name: value.clone() for name, value in averaged.state_dict().items()})
        return {"more": float(len(states))}

    inputs, given = points()
    found = train_until_stop(
        small(), inputs, given, Recipe(batch_size=8, epochs=12, patience=patience, device="cpu"), watch=watch,
        progress=False,
    )  # fmt: skip
    rounds, kept = stop_of(script, patience)
    assert [row["held_out_accuracy"] for row in found.history] == script[:rounds]
    assert [row["epoch"] for row in found.history] == [row["more"] for row in found.history]
    assert found.stop == kept
    assert all(torch.equal(value, states[kept][key]) for key, value in found.model.state_dict().items())
    assert not torch.equal(states[0]["0.weight"], states[1]["0.weight"])
    assert not found.model.training
    assert found.mean_margin[found.held_out].tolist() == pytest.approx([(rounds + 1) / 2] * int(found.held_out.sum()))


def test_scripts_of_the_stop_end_as_they_look():
    """The rule above, read by eye."""
    assert stop_of(SCRIPTS["rises and falls"], 3) == (8, 3)
    assert stop_of(SCRIPTS["falls from the start"], 1) == (3, 0)
    assert stop_of(SCRIPTS["rises to the end"], 1) == (12, 11)
    assert stop_of(SCRIPTS["two hills"], 3) == (7, 2)
    assert stop_of(SCRIPTS["two hills"], 12) == (12, 8)


def test_a_training_that_diverges_says_so():
    inputs, given = points()
    with pytest.raises(TrainingDiverged) as raised:
        train_until_stop(small(), inputs, given, Recipe(lr=1e38, batch_size=8, device="cpu"), progress=False)
    assert raised.value.history == []


# Checkpoints ---------------------------------------------------------------------------------------------------


def interrupted(path, monkeypatch) -> partial:
    """A training that was cut off after two rounds and left a checkpoint; returns how to run it again."""
    save_always(monkeypatch)
    monkeypatch.setattr(early_stop, "ROUND", 1)
    inputs, given = points()
    recipe = Recipe(batch_size=8, epochs=6, device="cpu")
    run = partial(train_until_stop, inputs=inputs, given=given, recipe=recipe, progress=False)
    rounds = []

    def interrupt(*_) -> dict:
        rounds.append(1)
        if len(rounds) == 3:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        run(small(), watch=interrupt, checkpoint=path)
    return run


def same(a: early_stop.Stopped, b: early_stop.Stopped) -> bool:
    alike = all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("mean_margin", "residual"))
    return alike and len(a.history) == len(b.history)


@pytest.mark.parametrize("what", ["samples", "labels", "recipe", "network"])
def test_a_checkpoint_of_something_else_is_not_continued(what, tmp_path, monkeypatch, capsys):
    run = interrupted(tmp_path / "one.pt", monkeypatch)
    inputs, given = points()
    model = small
    if what == "samples":
        run = partial(run, inputs=Inputs(inputs.values + 1e-3 * torch.arange(40).unsqueeze(1), CPU))
    elif what == "labels":
        run = partial(run, given=torch.cat([given[:-1], (given[-1:] + 1) % 3]))
    elif what == "recipe":
        run = partial(run, recipe=Recipe(batch_size=8, epochs=6, lr=0.021, device="cpu"))
    else:

        def model() -> nn.Module:
            torch.manual_seed(1)
            return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))

    fresh = run(model())
    capsys.readouterr()
    again = run(model(), checkpoint=tmp_path / "one.pt")
    told = "".join(capsys.readouterr())
    assert "one.pt was not used (it belongs to other data" in told
    assert "begins anew" in told
    assert same(fresh, again)


def altered(state: dict, damage: str) -> bytes:
    buffer = io.BytesIO()
    if damage == "lacks what newer code writes":
        del state["dropout"]
    torch.save(state, buffer)
    whole = buffer.getvalue()
    return {"empty": b"", "cut off": whole[: len(whole) // 2], "other bytes": b"no checkpoint"}.get(damage, whole)


@pytest.mark.parametrize(
    "damage",
    [
        "none",
        "empty",
        "cut off",
        "other bytes",
        "lacks what newer code writes",
    ],
)
def test_a_damaged_checkpoint_is_said_and_the_training_begins_anew(damage, tmp_path, monkeypatch, capsys):
    path = tmp_path / "one.pt"
    run = interrupted(path, monkeypatch)
    path.write_bytes(altered(torch.load(path, weights_only=True), damage))
    fresh = run(small())
    capsys.readouterr()
    again = run(small(), checkpoint=path)
    told = "".join(capsys.readouterr())
    if damage == "none":
        assert "going on after epoch 2" in told
    else:
        assert "one.pt was not used (" in told
    assert same(fresh, again)
    assert path.exists()  # until what was found is written


def test_a_disk_that_is_full_costs_the_checkpoint_only(tmp_path, monkeypatch, capsys):
    run = interrupted(tmp_path / "one.pt", monkeypatch)
    fresh = run(small())

    def full(*_) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full)
    assert same(fresh, run(small(), checkpoint=tmp_path / "other.pt"))
    assert "no space left" in "".join(capsys.readouterr())
    assert not (tmp_path / "other.pt").exists()


# Recipes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network": "mlp"}, "unknown network 'mlp'; there are: auto, fcn, cnn, resnet9"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"lr": float("nan")}, "lr must be above 0"),
        ({"momentum": 1.0}, "momentum must lie in"),
        ({"momentum": -0.1}, "momentum must lie in"),
        ({"weight_decay": -1e-3}, "weight_decay must be at least 0"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"held_out": 0.0}, "held_out must lie in"),
        ({"held_out": 0.6}, "held_out must lie in"),
        ({"seed": -1}, "seed must lie in"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(changed, message):
    good = Recipe(device="cpu")
    good.validate()
    with pytest.raises(ValueError, match=message):
        replace(good, **changed).validate()


@pytest.mark.parametrize(
    ("samples", "expected"), [(100, 64), (64_000, 64), (64_001, 65), (500_000, 500), (10**7, 1024)]
)
def test_steps_take_more_samples_where_an_epoch_would_have_over_a_thousand(samples, expected):
    assert Recipe().batch(samples) == expected
    assert Recipe(batch_size=7).batch(samples) == 7


@pytest.mark.parametrize(
    ("shape", "convolutions"), [((20,), False), ((1, 8, 8), False), ((3, 16, 16), True), ((4, 8, 8), False)]
)
def test_the_network_follows_from_the_data(shape, convolutions):
    model = Recipe().build(shape, 7)
    assert any(isinstance(m, nn.Conv2d) for m in model.modules()) == convolutions
    assert model.eval()(torch.zeros(2, *shape)).shape == (2, 7)
