"""Labels that are judged: digits of which some are flipped, embeddings, networks of one's own, and what is said."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest, entropy
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from torch import nn

from lib.data import DataConfig, load
from lib.noise import symmetric
from lib.suspects import judgement
from lib.suspects.early_stop import Inputs, Recipe, Stopped, answers, margin, train_until_stop
from lib.suspects.judgement import (
    accusations,
    calibrated,
    concentration,
    estimate_noise,
    first,
    judge,
    shares,
    unseen_margin,
    wilson,
)
from lib.suspects.read import Labelled, from_arrays
from lib.suspects.report import Interval, Suspects
from lib.suspects.tangents import Signals

RECIPE = Recipe(device="cpu")
COLUMNS = [
    "given_label", "predicted_label", "label_quality", "probability_wrong", "is_label_issue", "own_probability",
    "log_odds", "margin", "mean_margin", "unseen_margin", "agreement", "held_out", "conflict",
]  # fmt: skip
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def digits(rate: float) -> tuple[Labelled, np.ndarray, np.ndarray]:
    """Samples named in words, in strings, with which are wrong and what they truly are."""
    task = load(DataConfig("digits"))
    labels = symmetric(task.train_labels, rate, 10, torch.Generator().manual_seed(3))
    index = pd.Index([f"scan {k * 7 % len(labels.given)}" for k in range(len(labels.given))])
    labelled = from_arrays(task.train_images, labels.given.numpy(), NAMES, index)
    return labelled, labels.is_noisy.numpy(), labels.true.numpy()


@pytest.fixture(scope="module")
def flipped():
    labelled, wrong, true = digits(0.3)
    return labelled, wrong, true, judge(labelled, RECIPE, progress=False)


@pytest.fixture(scope="module")
def clean() -> Suspects:
    return judge(digits(0.0)[0], RECIPE, progress=False)


def precision(found: Suspects, wrong: np.ndarray) -> float:
    return average_precision_score(wrong, -found.table["label_quality"])


# What is found -------------------------------------------------------------------------------------------------


def test_flipped_digits_are_found_and_counted(flipped):
    _, wrong, true, found = flipped
    assert wrong.mean() == pytest.approx(0.3, abs=0.005)
    assert precision(found, wrong) > 0.9
    rate = found.noise_rate
    assert rate.low <= wrong.mean() <= rate.high
    assert abs(rate.estimate - wrong.mean()) < 0.05
    issue = found.table["is_label_issue"].to_numpy()
    assert rate.estimate == pytest.approx(issue.mean())
    assert wrong[issue].mean() > 0.85
    assert issue[wrong].mean() > 0.85
    suggested = found.table["predicted_label"].map(NAMES.index).to_numpy()
    assert (suggested[wrong & issue] == true[wrong & issue]).mean() > 0.85
    assert np.diag(found.transition) == pytest.approx([0.7] * 10, abs=0.12)
    np.testing.assert_allclose(found.transition.sum(1), 1)
    assert (found.transition_low <= found.transition).all()
    assert (found.transition <= found.transition_high).all()
    assert "Little is wrong" not in found.lines()[0]


def test_probabilities_are_those_of_being_wrong(flipped):
    _, wrong, _, found = flipped
    p = found.table["probability_wrong"].to_numpy()
    assert p.mean() == pytest.approx(found.noise_rate.estimate, abs=1e-6)
    for low, high in ((0, 0.1), (0.9, 1)):
        some = (p >= low) & (p <= high)
        assert some.sum() > 100
        assert abs(wrong[some].mean() - p[some].mean()) < 0.1


def test_of_clean_digits_little_is_wrong(clean):
    assert clean.noise_rate.estimate < 0.03
    assert clean.noise_rate.low < 0.01
    assert clean.lines()[0].endswith("Little is wrong.")
    assert f"{len(clean.table)} samples of 10 classes" in clean.lines()[0]


def test_embeddings_are_judged_too():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 4, 400)
    values = (2.5 * rng.normal(size=(4, 12))[true] + rng.normal(size=(400, 12))).astype(np.float32)
    wrong = rng.random(400) < 0.2
    given = np.where(wrong, (true + rng.integers(1, 4, 400)) % 4, true)
    found = judge(from_arrays(values, given), RECIPE, progress=False)
    assert precision(found, wrong) > 0.9
    assert abs(found.noise_rate.estimate - wrong.mean()) < 0.05


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2, 3], [0, 0, 1], [0, 1]])
def test_classes_of_one_and_two_samples_are_no_obstacle(labels):
    values = np.random.default_rng(0).normal(size=(len(labels), 3)).astype(np.float32)
    found = judge(from_arrays(values, labels), RECIPE, progress=False)
    numbers = found.table.drop(columns=["given_label", "predicted_label"]).to_numpy().astype(float)
    assert np.isfinite(numbers).all()
    assert len(found.lines()) > 1


# The table -----------------------------------------------------------------------------------------------------


def test_the_table_has_a_row_a_sample_in_their_order(flipped):
    labelled, _, _, found = flipped
    table = found.table
    assert list(table.columns) == COLUMNS
    assert table.index.equals(labelled.index)
    assert table["given_label"].tolist() == [NAMES[c] for c in labelled.labels.tolist()]
    assert table["is_label_issue"].dtype == table["held_out"].dtype == table["conflict"].dtype == bool
    assert ((table["predicted_label"] != table["given_label"]) == table["is_label_issue"]).all()
    assert table["held_out"].mean() == pytest.approx(0.1, abs=0.01)
    assert table["own_probability"].between(0, 1).all()
    assert table["agreement"].between(-2, 2).all()


def test_quality_is_the_rank_of_what_speaks_for_the_label(flipped, monkeypatch):
    monkeypatch.setattr(judgement, "concentration", lambda meetings: math.sqrt(0.3))
    table = judge(flipped[0], RECIPE, progress=False).table
    n = len(table)
    quality = table["label_quality"].to_numpy()
    np.testing.assert_allclose(np.sort(quality), np.arange(n) / (n - 1), atol=1e-12)

    def scaled(column: str) -> np.ndarray:
        values = table[column].to_numpy().astype(float)
        return values / np.sort(np.abs(values))[(n - 1) // 2]

    score = 0.7 * (scaled("mean_margin") + scaled("unseen_margin") + 0.25 * scaled("agreement")) / 2
    score += 0.3 * (scaled("log_odds") + scaled("agreement"))
    assert (np.diff(score[quality.argsort()]) > -1e-4).all()
    assert quality[table["is_label_issue"]].max() < quality[~table["is_label_issue"]].min()
    balance = scaled("log_odds") + scaled("agreement") + np.tanh(scaled("mean_margin"))
    assert table["is_label_issue"].sum() == pytest.approx((balance < 0).sum(), abs=int((np.abs(balance) < 1e-4).sum()))
    assert (np.diff(table["probability_wrong"].to_numpy()[quality.argsort()]) <= 1e-12).all()
    assert table["probability_wrong"].between(0, 1).all()


def test_it_joins_a_table_of_the_users():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"name": [f"file{k}.png" for k in range(60)], "kind": ["cat", "dog"] * 30})
    frame = frame.set_index("name").sample(frac=1, random_state=0)
    values = rng.normal(size=(60, 4)).astype(np.float32) + (frame["kind"] == "cat").to_numpy()[:, None] * 5
    found = judge(from_arrays(values, frame["kind"]), RECIPE, progress=False)
    joined = frame.join(found.table)
    assert len(joined) == 60
    assert (joined["kind"] == joined["given_label"]).all()
    assert joined["label_quality"].notna().all()


def test_the_same_seed_gives_the_same_table(flipped):
    labelled = flipped[0]
    short = Recipe(epochs=8, device="cpu")
    one, two = (judge(labelled, short, progress=False) for _ in range(2))
    pd.testing.assert_frame_equal(one.table, two.table, check_exact=True)
    assert one.noise() | {"cost": 0} == two.noise() | {"cost": 0}
    other = judge(labelled, Recipe(epochs=8, seed=1, device="cpu"), progress=False)
    assert not other.table["margin"].equals(one.table["margin"])


def test_saved_files_say_the_same(flipped, tmp_path):
    found = flipped[-1]
    folder = tmp_path / "found"
    found.save(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["noise.json", "suspects.csv"]
    read = pd.read_csv(folder / "suspects.csv", index_col="index")
    assert read["label_quality"].is_monotonic_increasing
    assert set(read.index) == set(found.table.index)
    assert list(read.columns) == COLUMNS
    pd.testing.assert_frame_equal(read.loc[found.table.index], found.table, check_names=False, check_dtype=False)
    noise = json.loads((folder / "noise.json").read_text(encoding="utf-8"))
    assert noise["noise_rate"]["estimate"] == found.noise_rate.estimate
    assert noise["classes"] == NAMES
    np.testing.assert_array_equal(noise["transition"], found.transition)
    np.testing.assert_array_equal(noise["transition_low"], found.transition_low)
    assert noise["cost"] == found.cost
    assert noise["notes"] == list(found.notes)


def test_what_is_said_names_the_largest_flow():
    cost = {"epochs": 9, "stop_epoch": 4, "train_seconds": 1.5, "signal_seconds": 0.25}
    counts = np.array([[900, 100, 0], [0, 990, 10], [5, 5, 990]])
    table = pd.DataFrame({"is_label_issue": np.arange(3000) < 120, "held_out": np.arange(3000) % 10 == 0})
    table["predicted_label"] = np.repeat(["ant", "bee", "cow"], 1000)
    share, low, high = shares(counts)
    found = Suspects(
        table, Interval(0.04, 0.03, 0.05), share, low, high, ("ant", "bee", "cow"), (), [], cost
    )  # fmt: skip
    lines = found.lines()
    assert lines[0] == "3000 samples of 3 classes; about 4.0% of the labels are wrong (3.0% to 5.0%): 120 suspects."
    bounds = binomtest(100, 1000).proportion_ci(method="wilson")
    assert lines[1] == f"10.0% of class ant were labelled bee ({bounds.low:.1%} to {bounds.high:.1%})."
    assert lines[2] == "One training of 9 epochs, stopped at 4, 1.5 s; signals 0.2 s."
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("unseen", "seen", "held", "warns"),
    [
        (0.31, 0.09, 240, True),  # a network that errs on one in five new samples
        (0.14, 0.10, 600, False),  # as on handwritten digits
        (0.40, 0.20, 20, False),  # too few to tell: three standard errors are .29
        (0.05, 0.30, 300, False),
    ],
)
def test_a_network_that_suspects_what_it_has_not_seen_is_called_weak(unseen, seen, held, warns):
    issue = np.concatenate([np.arange(held) < unseen * held, np.arange(9 * held) < seen * 9 * held])
    table = pd.DataFrame({"is_label_issue": issue, "held_out": np.arange(10 * held) < held, "predicted_label": "ant"})
    share, low, high = shares(np.array([[900, 100], [100, 900]]))
    cost = {"epochs": 9, "stop_epoch": 4, "train_seconds": 1.5, "signal_seconds": 0.25}
    found = Suspects(table, Interval(0.1, 0.1, 0.1), share, low, high, ("ant", "bee"), (), [], cost)
    said = [line for line in found.lines() if "weak" in line]
    assert len(said) == warns
    if warns:
        assert "suspects 31.2%, of those it was trained on 9.0%" in said[0]


# Networks of one's own, and settings ---------------------------------------------------------------------------


def test_a_network_of_ones_own_is_judged_by(flipped):
    labelled, wrong, _, _ = flipped
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))
    before = [p.clone() for p in model.parameters()]
    for layers in (1, 2):
        found = judge(labelled, RECIPE, model=model, layers=layers, progress=False)
        assert precision(found, wrong) > 0.8
        assert any(not torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


def flat(outputs: int, *between: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), *between, nn.Linear(64, outputs))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": flat(9)}, r"gives \[1, 9\] for one sample; it must give \[1, 10\]"),
        ({"model": flat(10).append(nn.Flatten(0))}, r"gives \[10\] for one sample"),
        ({"layers": 0}, "layers must be at least 1, not 0"),
        ({"model": flat(10).append(nn.LayerNorm(10))}, "last layer with weights is LayerNorm"),
        (
            {"model": nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten(), nn.Linear(64, 10))},
            "without running statistics",
        ),
        (
            {"model": flat(10, nn.BatchNorm1d(64, track_running_stats=False))},
            "without running statistics",
        ),
        ({"recipe": Recipe(lr=-1.0, device="cpu")}, "lr must be above 0"),
    ],
)
def test_what_cannot_be_judged_is_said_before_the_training(settings, message, monkeypatch):
    def never(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr(judgement, "train_until_stop", never)
    labelled = digits(0.0)[0]
    with pytest.raises(AssertionError, match="trained"):
        judge(labelled, RECIPE, progress=False)
    with pytest.raises(ValueError, match=message):
        judge(labelled, **{"recipe": RECIPE, "progress": False} | settings)


# Estimates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hits", "samples"), [(0, 1), (0, 50), (1, 7), (50, 50), (123, 1000), (3, 100_000)])
def test_wilsons_interval_is_scipys(hits, samples):
    low, high = wilson(hits / samples, samples)
    expected = binomtest(hits, samples).proportion_ci(method="wilson")
    assert float(low) == pytest.approx(expected.low, rel=1e-4, abs=1e-12)
    assert float(high) == pytest.approx(expected.high, rel=1e-4)


def test_shares_of_rows_and_of_a_class_without_samples():
    counts = np.array([[6, 2, 2], [0, 0, 0], [0, 1, 3]])
    share, low, high = shares(counts)
    np.testing.assert_allclose(share, [[0.6, 0.2, 0.2], [0, 1, 0], [0, 0.25, 0.75]])
    for row in (0, 2):
        for column in range(3):
            expected = binomtest(int(counts[row, column]), int(counts[row].sum())).proportion_ci(method="wilson")
            assert low[row, column] == pytest.approx(expected.low, abs=1e-4)
            assert high[row, column] == pytest.approx(expected.high, abs=1e-4)
    assert (low[1] == 0).all()
    assert (high[1] == 1).all()


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.7])
def test_calibrated_probabilities_keep_the_rate_and_never_rise(rate):
    rng = np.random.default_rng(0)
    quality = rng.permutation(500) / 499
    against = (rng.random((500, 3)) > quality[:, None]).mean(1)
    p = calibrated(against, quality, rate)
    assert p.mean() == pytest.approx(rate, abs=1e-9)
    assert (np.diff(p[quality.argsort()]) <= 0).all()
    assert len(np.unique(p)) > 5
    assert ((p > 0) & (p < 1)).all()


def test_a_rate_of_zero_makes_all_probabilities_small():
    p = calibrated(np.zeros(50), np.arange(50) / 49, 0.0)
    assert p.max() < 1e-9


def test_noise_is_counted_as_a_loop_counts_it(generator):
    n, classes = 300, 4
    issues = torch.rand(n, generator=generator) < 0.4
    against = torch.rand(n, 3, generator=generator) < 0.4
    given = torch.randint(0, classes, (n,), generator=generator)
    other = (given + torch.randint(1, classes, (n,), generator=generator)) % classes
    rate, counts = estimate_noise(issues, against, given, other, classes)
    expected, suspected, all_of, any_of = [[0] * classes for _ in range(classes)], 0, 0, 0
    for k in range(n):
        wrong = issues[k].item()
        expected[other[k] if wrong else given[k]][given[k]] += 1
        suspected += wrong
        all_of += all(against[k].tolist())
        any_of += any(against[k].tolist())
    assert counts.tolist() == expected
    assert rate.estimate == pytest.approx(suspected / n)
    assert rate.low == pytest.approx(binomtest(all_of, n).proportion_ci(method="wilson").low, abs=1e-5)
    assert rate.high == pytest.approx(binomtest(any_of, n).proportion_ci(method="wilson").high, abs=1e-5)
    assert 0 < all_of < any_of < n
    assert str(Interval(0.1, 0.05, math.pi / 10)) == "0.100 [0.050, 0.314]"


@pytest.mark.parametrize("classes", [3, 5, 10])
def test_concentration_is_zero_for_labels_that_go_anywhere_and_one_for_partners(classes):
    anywhere = torch.full((classes, classes), 50) + 500 * torch.eye(classes, dtype=torch.long)
    assert 0 <= concentration(anywhere) < 0.02
    partners = 500 * torch.eye(classes, dtype=torch.long) + 50 * torch.eye(classes, dtype=torch.long).roll(1, 1)
    assert concentration(partners) == pytest.approx(1)
    assert concentration(500 * torch.eye(classes, dtype=torch.long)) == 0  # no label is another one


def test_concentration_is_scipys_entropy_and_hardly_biased_by_few_samples(generator):
    share = torch.tensor([0.1, 0.2, 0.7, 0.0])  # of the other labels, of each of five classes

    def meet(draws: int) -> torch.Tensor:
        counts = torch.zeros(5, 5)
        for c in range(5):
            others = [k for k in range(5) if k != c]
            seen = torch.multinomial(share, draws, replacement=True, generator=generator)
            counts[c, others] += torch.bincount(seen, minlength=4)
        return counts

    exact = 1 - entropy(share.numpy()) / math.log(4)
    assert concentration(meet(20_000)) == pytest.approx(exact, abs=0.01)
    few = np.mean([concentration(meet(15)) for _ in range(200)])
    assert few == pytest.approx(exact, abs=0.02)
    assert concentration(torch.tensor([[5, 1], [1, 5]])) == 1  # of two classes the other one is known


def test_accusations_are_the_half_that_the_directions_speak_most_against():
    n, classes = 10, 3
    agreement = torch.tensor([-0.9, -0.8, -0.7, -0.6, -0.5, -0.4, 0.0, 0.3, 0.6, 0.9])
    given, other = torch.tensor([0, 0, 1, 2, 2, 2, 0, 1, 2, 0]), torch.tensor([1, 1, 2, 0, 0, 0, 2, 2, 1, 1])
    found = signals_of(agreement, other, classes)
    assert accusations(found, given).tolist() == [[0, 0, 0], [2, 0, 0], [0, 1, 0]]
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    assert torch.equal(accusations(signals_of(agreement[order], other[order], classes), given[order]),
                       accusations(found, given))  # fmt: skip
    none = signals_of(agreement.abs(), other, classes)
    assert accusations(none, given).sum() == 0
    assert concentration(accusations(none, given)) == 0


def signals_of(agreement: torch.Tensor, other: torch.Tensor, classes: int) -> Signals:
    """Signals of which only the agreement and the other label say anything."""
    zeros = torch.zeros(len(agreement))
    return Signals(zeros, zeros, other, zeros, agreement, zeros, torch.eye(classes, dtype=torch.long))


def learnt(held: list[bool], gain: float) -> tuple[Signals, Stopped, torch.Tensor]:
    """Margins that are known, raised where a label was learnt by ``gain`` times residual and self-influence."""
    before = torch.tensor([3.0, -2.0, 1.0, 4.0, -1.0, 2.0, -2.0, 3.0])  # of both kinds of samples 1 on average
    influence, residual = torch.tensor([2.0, 1, 3, 1, 2, 9, 9, 9]), torch.tensor([0.1, 0.9, 0.5, 0.2, 0.8, 0, 0, 0])
    mask = torch.tensor(held)
    margin = before + gain * torch.where(mask, 0.0, influence * residual)
    zeros = torch.zeros(8)
    found = Signals(zeros, zeros, zeros.long(), margin, zeros, influence, torch.eye(2, dtype=torch.long))
    return found, Stopped(nn.Identity(), [], 0, mask, zeros, residual), before


def test_what_a_label_taught_is_taken_off_its_margin():
    found, halted, before = learnt([False] * 5 + [True] * 3, 0.7)
    assert (found.margin - before)[:5].min() > 0.1
    assert torch.allclose(unseen_margin(found, halted), before, atol=1e-6)
    found, halted, before = learnt([False] * 5 + [True] * 3, -5.0)  # those held out are surer: nothing is added
    assert torch.equal(unseen_margin(found, halted), found.margin)


@pytest.mark.parametrize("held", [True, False])
def test_without_both_kinds_of_samples_the_margin_stays(held):
    found, halted, _ = learnt([held] * 8, 0.7)
    assert torch.equal(unseen_margin(found, halted), found.margin)


def never_seen(labelled: Labelled, classes: int = 10) -> np.ndarray:
    """The margin of each given label, asked of a network that was trained on the other four of five folds."""
    found = torch.zeros(len(labelled.labels))
    zeros = np.zeros(len(found))
    for k, (seen, asked) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(zeros, labelled.labels)):
        inputs = Inputs(labelled.inputs[seen], torch.device("cpu"))
        recipe = replace(RECIPE, seed=k + 1)
        network = recipe.build(inputs.shape, classes)
        halted = train_until_stop(network, inputs, labelled.labels[seen], recipe, progress=False)
        rest = Inputs.like(inputs, labelled.inputs[asked])
        found[asked] = margin(answers(halted.model, rest, torch.arange(len(asked))), labelled.labels[asked])
    return found.numpy()


@pytest.mark.real_data
def test_memory_is_taken_off_the_right_samples(real_data):
    """Among wrong labels alone, and among right ones alone, where taking the same off all of them changes nothing."""
    task = load(DataConfig("mnist", train_size=6000), real_data)
    labels = symmetric(task.train_labels, 0.2, 10, torch.Generator().manual_seed(3))
    labelled, wrong = from_arrays(task.train_images, labels.given.numpy()), labels.is_noisy.numpy()
    truth, table = never_seen(labelled), judge(labelled, RECIPE, progress=False).table
    trained = ~table["held_out"].to_numpy()
    for some in (trained & wrong, trained & ~wrong):
        before, after = (
            np.corrcoef(table[column].to_numpy()[some], truth[some])[0, 1] for column in ("margin", "unseen_margin")
        )
        assert after > before + 0.005


def test_as_much_is_taken_off_as_networks_that_never_saw_the_label_say():
    """How far wrong labels lie below right ones."""
    labelled, wrong, _ = digits(0.2)
    truth = never_seen(labelled)

    def below(values: np.ndarray, some: np.ndarray) -> float:
        return -values[some & wrong].mean() / values[some & ~wrong].mean()

    expected = below(truth, np.ones(len(wrong), dtype=bool))
    distances = []
    for seed in range(3):
        table = judge(labelled, replace(RECIPE, seed=seed, held_out=0.3), progress=False).table
        trained = ~table["held_out"].to_numpy()
        assert (table["unseen_margin"] <= table["margin"]).all()
        assert (table["unseen_margin"] == table["margin"])[~trained].all()
        distances.append(
            [abs(below(table[column].to_numpy(), trained) - expected) for column in ("margin", "unseen_margin")]
        )
    known, unseen = np.mean(distances, axis=0)
    assert unseen < 0.6 * known


def test_the_first_are_as_many_as_asked():
    order = torch.tensor([1, 3, 4, 2, 0])
    assert first(order, 0).sum() == 0
    assert first(order, 3).tolist() == [False, True, False, True, True]
