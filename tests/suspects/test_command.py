"""``python -m lib suspects``: from a reader's files to table, noise and gallery."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from lib.__main__ import main
from lib.checkpoint import Checkpoint
from lib.suspects import early_stop


@pytest.fixture
def source(tmp_path):
    """Digits as images, a folder a class; a tenth of them in the wrong folder, with the right one in their names."""
    images, labels = load_digits(return_X_y=True)
    draws = np.random.default_rng(0)
    for k in draws.permutation(len(labels))[:600]:
        given = (labels[k] + draws.integers(1, 10)) % 10 if draws.random() < 0.1 else labels[k]
        folder = tmp_path / "photos" / f"digit {given}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((images[k].reshape(8, 8) * 15.9).astype(np.uint8)).save(folder / f"{k}-{labels[k]}.png")
    return tmp_path / "photos"


def run(*arguments) -> int:
    return main(["suspects", *map(str, arguments)])


def test_from_a_folder_to_table_noise_and_gallery(source, tmp_path, capsys):
    (source / "digit 3" / "broken.png").write_bytes(b"no image")
    assert run(source, "--out", tmp_path / "out", "--limit", 50) == 0
    said = capsys.readouterr().out
    assert "600 images" in said
    assert "broken.png" in said
    table = pd.read_csv(tmp_path / "out" / "suspects.csv", index_col="index")
    wrong = np.array([name.split("/")[0][-1] != name.split("-")[1][0] for name in table.index])
    flagged = table["is_label_issue"].to_numpy()
    assert len(table) == 600
    assert wrong[:20].mean() > 0.8  # the most suspicious first
    assert wrong[flagged].mean() > 0.7
    assert wrong[~flagged].mean() < 0.05
    noise = json.loads((tmp_path / "out" / "noise.json").read_text())
    assert abs(noise["noise_rate"]["estimate"] - wrong.mean()) < 0.05
    assert (tmp_path / "out" / "suspects.html").read_text().count("<article") == 50
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def test_what_is_there_is_not_replaced_unasked(source, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "suspects.csv").write_text("mine")
    monkeypatch.setattr("lib.suspects.judgement.judge", lambda *_, **__: pytest.fail("something was computed"))
    assert run(source, "--out", out) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "suspects.csv").read_text() == "mine"


def test_interrupted_it_goes_on_to_the_same_table(source, tmp_path, capsys, monkeypatch):
    assert run(source, "--out", tmp_path / "whole", "--no-gallery") == 0
    rounds, original = [], early_stop._Training.round

    def interrupted(self, watch):
        rounds.append(1)
        if len(rounds) == 4:
            raise KeyboardInterrupt
        original(self, watch)

    monkeypatch.setattr(early_stop, "Checkpoint", lambda path, key, _, others: Checkpoint(path, key, 0.0, others))
    monkeypatch.setattr(early_stop._Training, "round", interrupted)
    assert run(source, "--out", tmp_path / "out", "--no-gallery") == 130
    assert not (tmp_path / "out" / "suspects.csv").exists()
    assert run(source, "--out", tmp_path / "out", "--no-gallery") == 0
    assert "going on after epoch" in capsys.readouterr().out
    whole, again = ((tmp_path / name / "suspects.csv").read_bytes() for name in ("whole", "out"))
    assert whole == again


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--network", "transformer"), "there are: auto, fcn, cnn, resnet9"),
        (("--image-column", "file"), "it has no columns"),
        (("--seed", "-1"), "seed must lie in"),
        (("--held-out", "0.9"), "held_out must lie in (0, 0.5], not 0.9"),
    ],
)
def test_what_cannot_be_meant_is_said_before_any_compute(source, arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("lib.suspects.judgement.judge", lambda *_, **__: pytest.fail("something was computed"))
    assert run(source, "--out", tmp_path / "out", *arguments) == 1
    assert message in capsys.readouterr().err


def test_as_many_are_held_out_as_asked(source, tmp_path):
    assert run(source, "--out", tmp_path / "out", "--no-gallery", "--epochs", 2, "--held-out", 0.3) == 0
    table = pd.read_csv(tmp_path / "out" / "suspects.csv", index_col="index")
    assert table["held_out"].mean() == pytest.approx(0.3, abs=0.01)


def test_no_source(tmp_path, capsys):
    assert run(tmp_path / "nowhere") == 1
    assert "is not there" in capsys.readouterr().err
