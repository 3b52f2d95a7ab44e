"""UTF-8 is said wherever text is read or written, and a terminal of another encoding stops no command."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from lib.paths import ROOT

PLAIN = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


def run(*arguments, cwd=ROOT):
    """A verb in a Python that takes ASCII for the default, and warns where none is named."""
    warned = ("-X", "utf8=0", "-X", "warn_default_encoding", "-W", "always::EncodingWarning")
    env = {**os.environ, **PLAIN, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *warned, "-m", "lib", *arguments], cwd=cwd, env=env, capture_output=True)


@pytest.fixture
def samples(tmp_path):
    """Two clusters whose classes no ASCII terminal can show."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.array(["größe", "猫"]), 60)
    points = rng.normal(size=(120, 4)) + 4 * (labels == "猫")[:, None]
    np.savez(tmp_path / "samples.npz", embeddings=points.astype(np.float32), labels=labels)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("parameters", "2"),
        ("records", "circle-2-relu-seed0"),
        ("data",),
        ("sweep",),
        ("sweep", "minute", "--plan"),
        ("suspects", "samples.npz", "--epochs", "4"),
        ("run", "99"),
    ],
)
def test_no_verb_falls_back_on_the_locales_encoding(arguments, samples):
    done = run(*arguments, cwd=samples)
    told = done.stderr.decode("ascii", "replace")
    assert done.returncode == (1 if arguments == ("run", "99") else 0), told
    mine = [line for line in told.splitlines() if "EncodingWarning" in line and re.search(r"/lib/\w|/lib/\w+/\w", line)]
    assert [line for line in mine if "site-packages" not in line and "/lib/python" not in line] == []
    assert "UnicodeEncodeError" not in told


def test_what_is_written_keeps_its_names(samples):
    assert run("suspects", "samples.npz", "--epochs", "4", cwd=samples).returncode == 0
    table = (samples / "suspects" / "suspects.csv").read_text(encoding="utf-8")
    assert "größe" in table
    assert "猫" in table
