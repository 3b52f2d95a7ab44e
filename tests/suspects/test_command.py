"""``python -m lib suspects``: from a reader's files to table, noise and gallery."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from lib.__main__ import main
from lib.checkpoint import Checkpoint
from lib.paths import ROOT
from lib.suspects import early_stop, find_suspects


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


@pytest.fixture
def nothing_computed(monkeypatch):
    for module in ("judgement", "command"):
        monkeypatch.setattr(f"lib.suspects.{module}.judge", lambda *_, **__: pytest.fail("something was computed"))


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
    noise = json.loads((tmp_path / "out" / "noise.json").read_text(encoding="utf-8"))
    assert abs(noise["noise_rate"]["estimate"] - wrong.mean()) < 0.05
    assert (tmp_path / "out" / "suspects.html").read_text(encoding="utf-8").count("<article") == 50
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


@pytest.mark.usefixtures("nothing_computed")
def test_what_is_there_is_not_replaced_unasked(source, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "suspects.csv").write_text("mine", encoding="utf-8")
    assert run(source, "--out", out) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "suspects.csv").read_text(encoding="utf-8") == "mine"


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


@pytest.mark.usefixtures("nothing_computed")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--network", "transformer"), "there are: auto, fcn, cnn, resnet9"),
        (("--image-column", "file"), "it has no columns"),
        (("--seed", "-1"), "seed must lie in"),
        (("--held-out", "0.9"), "held_out must lie in (0, 0.5], not 0.9"),
    ],
)
def test_what_cannot_be_meant_is_said_before_any_compute(source, arguments, message, capsys, tmp_path):
    assert run(source, "--out", tmp_path / "out", *arguments) == 1
    assert message in capsys.readouterr().err


def test_as_many_are_held_out_as_asked(source, tmp_path):
    assert run(source, "--out", tmp_path / "out", "--no-gallery", "--epochs", 2, "--held-out", 0.3) == 0
    table = pd.read_csv(tmp_path / "out" / "suspects.csv", index_col="index")
    assert table["held_out"].mean() == pytest.approx(0.3, abs=0.01)


def test_no_source(tmp_path, capsys):
    assert run(tmp_path / "nowhere") == 1
    assert "is not there" in capsys.readouterr().err


# From Python


def test_from_python_it_does_what_the_command_does(source, tmp_path, capsys):
    said = []
    options = {"epochs": 3, "seed": 5, "limit": 4}
    found = find_suspects(source, out=tmp_path / "python", tell=said.append, **options)
    assert capsys.readouterr().out == ""
    assert "600 images" in said[0]
    assert said[-1].splitlines()[0] == f"table: {tmp_path / 'python' / 'suspects.csv'}"
    assert (tmp_path / "python" / "suspects.html").read_text(encoding="utf-8").count("<article") == 4
    assert run(source, "--out", tmp_path / "command", *(f"--{name}={value}" for name, value in options.items())) == 0
    tables = [(tmp_path / name / "suspects.csv").read_bytes() for name in ("python", "command")]
    assert tables[0] == tables[1]
    read = pd.read_csv(tmp_path / "python" / "suspects.csv", index_col="index", dtype={"given_label": str})
    assert read["given_label"].tolist() == found.table.loc[read.index, "given_label"].tolist()


@pytest.mark.usefixtures("nothing_computed")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": 0}, "layers must be at least 1, not 0"),
        ({"limit": 0}, "limit must be at least 1, not 0"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"device": "tpu"}, "tpu"),
        ({"out": "a file"}, "a file is a file; name a folder by --out"),
        ({}, r"suspects\.csv would be replaced: say --overwrite"),
    ],
)
def test_nothing_is_read_before_the_rest_is_checked(tmp_path, monkeypatch, settings, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_bytes(b"")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "suspects.csv").write_bytes(b"mine")
    with pytest.raises(ValueError, match=message):
        find_suspects(tmp_path / "nowhere", **{"out": "out", **settings})  # there is no such source


def test_classes_of_any_script_pass_a_terminal_that_knows_ascii_only(tmp_path):
    """A process of its own: standard output gets its encoding when Python starts."""
    draws = np.random.default_rng(0)
    photos = os.fsencode(tmp_path / "photos") + b"\xe9"
    for k in range(24):
        folder = photos + (b"/\xe7\x8c\xab", b"/caf\xe9")[k % 2]  # the latter is no UTF-8
        os.makedirs(folder, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (4, 4), dtype=np.uint8)).save(os.fsdecode(folder + b"/%d.png" % k))
    (tmp_path / os.fsdecode(photos) / "notes.txt").write_bytes(b"")
    code = f"from lib.suspects import find_suspects; find_suspects({os.fsdecode(photos)!r}, out='out', epochs=1)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, encoding="ascii",
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "'caf\\\\xe9' is 0, '\\u732b' is 1" in done.stdout
    assert "photos\\xe9 are no images in a class's folder" in done.stdout
    table = pd.read_csv(tmp_path / "out" / "suspects.csv", encoding="utf-8")
    assert set(table["given_label"]) == {"caf\\xe9", "猫"}
    assert "labelled <b>猫</b>" in (tmp_path / "out" / "suspects.html").read_text(encoding="utf-8")


# What is lost, and what is not ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_computed")
@pytest.mark.parametrize("out", ["a file/below", "a file", "/proc/suspects"])
def test_a_place_that_cannot_be_written_to_is_named_before_reading(tmp_path, out, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").write_bytes(b"")
    with pytest.raises(ValueError, match=r"name (a|another) folder by --out"):
        find_suspects(tmp_path / "nowhere", out=out)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_suspects(tmp_path / "nowhere", out="new/deep")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file"]


@pytest.mark.parametrize("fails", ["lib.suspects.judgement.take_signals", "lib.suspects.report.Suspects.save"])
def test_what_fails_after_the_training_costs_no_training(source, tmp_path, capsys, monkeypatch, fails):
    options = ("--no-gallery", "--epochs", 3)
    assert run(source, "--out", tmp_path / "whole", *options) == 0

    def full(*_, **__):
        raise OSError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(fails, full)
        assert run(source, "--out", tmp_path / "out", *options) == 1
    assert (tmp_path / "out" / "checkpoint.pt").exists()
    monkeypatch.setattr(early_stop._Training, "round", lambda *_: pytest.fail("it trains again"))
    assert run(source, "--out", tmp_path / "out", *options) == 0
    whole, again = ((tmp_path / name / "suspects.csv").read_bytes() for name in ("whole", "out"))
    assert whole == again
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def test_embeddings_are_judged_by_regression_unless_a_network_is_asked_for(tmp_path):
    images, labels = load_digits(return_X_y=True)
    np.savez(tmp_path / "digits.npz", embeddings=images[:300], labels=labels[:300])
    said = []
    found = find_suspects(tmp_path / "digits.npz", out=tmp_path / "out", tell=said.append)
    assert found.history == []
    assert "training" not in "\n".join(said).lower()
    assert len(pd.read_csv(tmp_path / "out" / "suspects.csv")) == 300
    asked = find_suspects(tmp_path / "digits.npz", out=tmp_path / "net", tell=said.append, epochs=1, gallery=False)
    assert len(asked.history) == 1


def test_a_gallery_of_other_labels_does_not_stay_beside_the_table(tmp_path, monkeypatch):
    draws, label = np.random.default_rng(0), np.arange(60) % 3
    np.savez(tmp_path / "t.npz", embeddings=draws.normal(size=(60, 4)) + label[:, None], labels=label)
    out, told = tmp_path / "out", []
    find_suspects(tmp_path / "t.npz", out=out, tell=told.append)
    assert (out / "suspects.html").exists()
    find_suspects(tmp_path / "t.npz", out=out, tell=told.append, overwrite=True, gallery=False)
    assert not (out / "suspects.html").exists()

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("lib.suspects.command.write_gallery", stopped)
    with pytest.raises(KeyboardInterrupt):
        find_suspects(tmp_path / "t.npz", out=tmp_path / "other", tell=told.append)
    assert "the gallery is not: add --overwrite" in told[-1]
    assert (tmp_path / "other" / "suspects.csv").exists()
