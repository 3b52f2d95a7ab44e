"""Which code made a number: what counts, what does not, and what is followed. On copies of the package."""

import re
import shutil

import pytest

from lib import identity, records
from lib.paths import NOTEBOOKS, ROOT

NOISE = '''
RATE = 0.5


def flip(labels, rate=RATE):
    """Words."""
    if rate > 1:
        raise ValueError(f"{rate} is too much")
    return [1 - label for label in labels]  # turned


def unused():
    return RATE
'''
TRAIN = "from . import noise\n\n\ndef train(labels):\n    return noise.flip(labels)\n"


@pytest.fixture
def package(tmp_path):
    """A package of two modules."""
    folder = tmp_path / "lib"
    folder.mkdir()
    for name, text in (("__init__", ""), ("noise", NOISE), ("train", TRAIN)):
        (folder / f"{name}.py").write_text(text)
    return folder


def of_train(folder) -> str:
    return identity.of_definition("train", "train", folder).id


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# turned", "# mirrored"),
        ('"""Words."""', '"""Other words, and more of them."""'),
        ("is too much", "is more than 1"),
        ("return RATE", "return 2 * RATE"),  # nothing that is reached
        ("def unused", "def not_used"),
    ],
)
def test_words_and_what_is_not_reached_do_not_count(package, old, new):
    before = of_train(package)
    (package / "noise.py").write_text(NOISE.replace(old, new))
    assert of_train(package) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [("RATE = 0.5", "RATE = 0.6"), ("1 - label", "1 + label"), ("rate=RATE", "rate=1"), ("rate > 1", "rate >= 1")],
)
def test_a_changed_constant_default_or_operator_counts(package, old, new):
    before = of_train(package)
    (package / "noise.py").write_text(NOISE.replace(old, new))
    assert of_train(package) != before


@pytest.mark.parametrize(
    "text",
    [
        "from .noise import flip\n\n\ndef train(labels):\n    return flip(labels)\n",
        "from .noise import flip as turn\n\n\ndef train(labels):\n    return turn(labels)\n",
        "from lib import noise as n\n\n\ndef train(labels):\n    return n.flip(labels)\n",
        "import lib.noise\n\n\ndef train(labels):\n    return lib.noise.flip(labels)\n",
        "def train(labels):\n    from clean_priority.noise import flip\n\n    return flip(labels)\n",
    ],
)
def test_every_form_of_import_means_the_same_definition(package, text):
    before = of_train(package)
    (package / "train.py").write_text(text)
    assert of_train(package) == before
    (package / "noise.py").write_text(NOISE.replace("0.5", "0.6"))
    assert of_train(package) != before  # it was followed


def test_a_module_renamed_or_moved_into_a_package_is_the_same_code(package):
    before = of_train(package)
    (package / "noise.py").rename(package / "label_noise.py")
    (package / "train.py").write_text(TRAIN.replace("noise", "label_noise"))
    assert of_train(package) == before
    (package / "marks").mkdir()
    (package / "label_noise.py").rename(package / "marks" / "noise.py")
    (package / "marks" / "__init__.py").write_text("from .noise import flip\n")
    (package / "train.py").write_text(TRAIN.replace("import noise", "import marks").replace("noise.", "marks."))
    assert of_train(package) == before
    (package / "loops").mkdir()
    (package / "loops" / "__init__.py").touch()
    (package / "train.py").rename(package / "loops" / "train.py")
    (package / "loops" / "train.py").write_text(TRAIN.replace("from . import noise", "from ..marks import noise"))
    assert identity.of_definition("loops.train", "train", package).id == before


def test_a_local_variable_is_not_the_module_of_its_name(package):
    (package / "train.py").write_text("from . import noise\n\n\ndef train(noise):\n    return noise.flip\n")
    before = of_train(package)
    (package / "noise.py").write_text(NOISE.replace("0.5", "0.6"))
    assert of_train(package) == before


def test_a_default_is_looked_up_outside_the_function(package):
    (package / "train.py").write_text("from .noise import RATE\n\n\ndef train(RATE=RATE):\n    return RATE\n")
    before = of_train(package)
    (package / "noise.py").write_text(NOISE.replace("0.5", "0.6"))
    assert of_train(package) != before


def test_a_table_filled_by_later_lines_is_one_definition(package):
    text = "TABLE = {}\nTABLE.update(a=1)\n\n\ndef train(labels):\n    return TABLE\n"
    (package / "train.py").write_text(text)
    before = of_train(package)
    (package / "train.py").write_text(text.replace("a=1", "a=2"))
    assert of_train(package) != before


def test_plumbing_is_not_followed(package):
    (package / "noise.py").write_text(NOISE + "\nNO_NUMBERS = True\n")
    before = of_train(package)
    (package / "noise.py").write_text(NOISE.replace("0.5", "0.6") + "\nNO_NUMBERS = True\n")
    assert of_train(package) == before


def test_an_import_from_elsewhere_counts_by_what_it_is(package):
    (package / "train.py").write_text("from math import log\n\n\ndef train(labels):\n    return log(labels)\n")
    before = of_train(package)
    (package / "train.py").write_text("from cmath import log\n\n\ndef train(labels):\n    return log(labels)\n")
    assert of_train(package) != before


def test_the_same_in_every_version_of_python(package):
    """A literal: if it changes with the version, records of one are older code in another."""
    text = 'def train(x):\n    return f"{x + 1} is {x!r:>4}", [y for y in x if y], x[1:], lambda z, *a: z\n'
    (package / "train.py").write_text(text)
    assert of_train(package) == "099b3b01081d"


def test_what_is_not_there_is_named(package, tmp_path):
    with pytest.raises(ValueError, match="has no definition 'trian'"):
        identity.of_definition("train", "trian", package)
    (tmp_path / "n.ipynb").write_text("no notebook")
    with pytest.raises(ValueError, match="is no notebook"):
        identity.of_notebook(tmp_path / "n.ipynb")


# the book's own code


def kinds(folder) -> dict[str, str]:
    """The identity of each kind of record, with the package in ``folder``."""
    found = {}
    for kind, place in records.KINDS.items():
        module, _, name = place.partition(":")
        found[kind] = identity.of_definition(module, name, folder).id
    return found


@pytest.fixture
def copy(tmp_path):
    """A copy of the whole package and its notebooks of one condition."""
    shutil.copytree(ROOT / "lib", tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "lib"


def points(folder) -> dict[str, str]:
    """The identity of each notebook that sweeps run."""
    return {path.name: identity.of_notebook(path, folder).id for path in sorted((NOTEBOOKS / "sweeps").glob("*.ipynb"))}


CORE = sorted(path.stem for path in (ROOT / "lib").glob("*.py") if not path.stem.startswith("__"))


@pytest.mark.parametrize("name", CORE)
def test_moving_any_module_leaves_all_records_of_todays_code(copy, name):
    before = kinds(copy)
    (copy / f"{name}.py").rename(copy / f"renamed_{name}.py")
    for path in copy.rglob("*.py"):
        text = path.read_text()
        text = re.sub(rf"(from \.+(?:[a-z_]+\.)*)\b{name}\b(?= import)", rf"\1renamed_{name}", text)
        text = re.sub(rf"(from lib\.){name}\b(?= import)", rf"\1renamed_{name}", text)
        text = re.sub(rf"(from (?:\.+|lib) import [^\n(]*?)\b{name}\b(?! as)", rf"\1renamed_{name} as {name}", text)
        path.write_text(text)
    moved = {}
    for kind, place in records.KINDS.items():
        module, _, made = place.partition(":")
        module = f"renamed_{name}" if module == name else module
        moved[kind] = identity.of_definition(module, made, copy).id
    assert moved == before


def test_a_comment_in_any_module_makes_no_record_older(copy):
    before, swept = kinds(copy), points(copy)
    for path in copy.rglob("*.py"):
        path.write_text(path.read_text() + "\n# a comment\n")
    assert kinds(copy) == before
    assert points(copy) == swept


def test_a_changed_constant_of_the_noise_makes_just_those_older_that_reach_it(copy):
    before = kinds(copy)
    path = copy / "noise.py"
    text = path.read_text()
    path.write_text(text.replace("step = torch.randint(1, classes", "step = torch.randint(2, classes"))
    assert path.read_text() != text
    older = {kind for kind, id in kinds(copy).items() if id != before[kind]}
    assert older == set(before) - {"circle", "pairs", "published"}  # which flip no label
    path.write_text(text.replace("count = round(noise_rate", "count = int(noise_rate"))
    older = {kind for kind, id in kinds(copy).items() if id != before[kind]}
    assert older == set(before) - {"circle", "pairs", "published"}


def test_an_edit_of_a_wing_leaves_the_points_of_other_sweeps_as_they_are(copy):
    """The sweep over noise levels runs trainings of the paper: what suspects are does not concern it."""
    before = points(copy)
    for path in (copy / "suspects").glob("*.py"):
        path.write_text(path.read_text(encoding="utf-8") + "\nX = 1\n", encoding="utf-8")
        path.write_text(path.read_text(encoding="utf-8").replace("return ", "return 0, "), encoding="utf-8")
    assert points(copy) == before
