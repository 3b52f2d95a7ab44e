"""Which code made a number: what counts, what does not, and what is followed. On copies of the package."""

import json
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


TWO = "from . import a, b\n\n\ndef train(x):\n    return a.K - 3 * b.K + a.f(x) - b.f(x), a.L, a.T\n"
GIVEN = {"K": "K = 5\n", "f": "def f(x):\n    return K * x\n", "L": "L = 1\n", "T": "T = 1\n"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "K = 1\n", "b": "K = 2\n"}, {"a": "K = 2\n", "b": "K = 1\n"}),  # exchanged constants of one name
        ({"train": TWO}, {"train": TWO.replace("a.f(x) - b.f(x)", "b.f(x) - a.f(x)"), "a": "K = 6\n"}),
        ({"a": "L = [1]\nL.append(2)\nL = L + [3]\n"}, {"a": "L = [1]\nL = L + [3]\nL.append(2)\n"}),  # their order
        ({"a": "if True:\n    def f(x): return 2 * x\n"}, {"a": "if True:\n    def f(x): return 3 * x\n"}),
        ({"a": "T = {}\nT['k'] = 1\n"}, {"a": "T = {}\nT['k'] = 2\n"}),
        ({"a": "class T: pass\nB = T.x = 1\n"}, {"a": "class T: pass\nB = T.x = 2\n"}),
        ({"a": "import torch\ntorch.set_x(1)\n"}, {"a": "import torch\ntorch.set_x(2)\n"}),  # concerns all of it
    ],
)
def test_what_changes_numbers_changes_the_identity(package, one, other):
    both = []
    for texts in (one, other):
        (package / "train.py").write_text(texts.get("train", TWO))
        for name in ("a", "b"):
            text = texts.get(name, "")
            defined = re.findall(r"(?m)^(?:    def |def |class )?(\w+)", text)
            (package / f"{name}.py").write_text(text + "".join(GIVEN[one] for one in GIVEN if one not in defined))
        both.append(of_train(package))
    assert both[0] != both[1]


def test_what_an_error_carries_counts_and_what_it_says_does_not(package):
    text = "def train(x):\n    raise ValueError('no', x, 2)\n"
    (package / "train.py").write_text(text)
    before = of_train(package)
    (package / "train.py").write_text(text.replace("'no'", "f'never {x}'"))
    assert of_train(package) == before
    (package / "train.py").write_text(text.replace("x, 2", "2, x"))
    assert of_train(package) != before


def test_types_of_arguments_and_texts_of_assertions_do_not_count(package):
    (package / "train.py").write_text("def train(x):\n    assert x, 'nothing'\n    return x\n")
    before = of_train(package)
    (package / "train.py").write_text("def train(x: int) -> 'int':\n    assert x, 'something'\n    return x\n")
    assert of_train(package) == before


@pytest.mark.parametrize(
    "text",
    [
        "from .noise import RATE\n\n\ndef train(RATE=RATE):\n    return RATE\n",
        "from .noise import RATE\n\n\ndef train(x):\n    return [RATE for RATE in RATE]\n",
        "from . import noise\n\n\ndef train(x):\n    return getattr(noise, x)\n",
        "from . import marks\n\n\ndef train(x):\n    return getattr(marks, x)\n",
    ],
)
def test_a_name_is_looked_up_where_python_does(package, text):
    (package / "marks").mkdir()
    (package / "marks" / "__init__.py").write_text("from ..noise import flip\n")
    (package / "train.py").write_text(text)
    before = of_train(package)
    (package / "noise.py").write_text(NOISE.replace("0.5", "0.6"))
    assert of_train(package) != before


@pytest.mark.parametrize(
    "text",
    [
        "from .noise import *\n\n\ndef train(x):\n    return flip(x)\n",
        "def train(x):\n    from .noise import train\n\n    return train(x)\n",
        "def train(x):\n    from .noise import flip\n\n\ndef other(x):\n    from .other import flip\n",
    ],
)
def test_imports_that_cannot_be_told_apart_are_refused(package, text):
    (package / "train.py").write_text(text)
    with pytest.raises(ValueError, match="means something else there too"):
        of_train(package)


def test_what_another_file_says_is_not_remembered(package):
    """A worker lives long, and files change."""
    for name in ("one", "two"):
        (package / f"{name}.py").write_text(f"def flip(x):\n    return '{name}', x\n")
    (package / "marks").mkdir()
    (package / "marks" / "__init__.py").write_text("from ..one import flip\n")
    (package / "train.py").write_text("from . import marks\n\n\ndef train(x):\n    return marks.flip(x)\n")
    before = of_train(package)
    (package / "marks" / "__init__.py").write_text("from ..two import flip  # \n")
    assert of_train(package) != before


def test_a_notebook_is_its_code_however_it_is_divided(package, tmp_path):
    def of(*cells):
        told = [{"cell_type": "code", "source": [cell]} for cell in cells]
        (tmp_path / "n.ipynb").write_text(json.dumps({"cells": told}), encoding="utf-8")
        return identity.of_notebook(tmp_path / "n.ipynb", package).id

    whole = of("%matplotlib inline\nfrom lib import noise", "x = noise.flip([1])")
    assert of("%matplotlib inline", "# words\nfrom lib import noise\nx = noise.flip([1])", "") == whole
    assert of("%matplotlib agg\nfrom lib import noise", "x = noise.flip([1])") != whole
    assert of("%matplotlib inline\nfrom lib import noise", "x = noise.flip([2])") != whole
    star = of("from lib.noise import *", "x = flip([1])")
    (package / "noise.py").write_text(NOISE.replace("0.5", "0.6"))
    assert of("%matplotlib inline\nfrom lib import noise", "x = noise.flip([1])") != whole  # followed, magic or not
    assert of("from lib.noise import *", "x = flip([1])") != star


def test_an_import_from_elsewhere_counts_by_what_it_is(package):
    (package / "train.py").write_text("from math import log\n\n\ndef train(labels):\n    return log(labels)\n")
    before = of_train(package)
    (package / "train.py").write_text("from cmath import log\n\n\ndef train(labels):\n    return log(labels)\n")
    assert of_train(package) != before


def test_the_same_in_every_version_of_python(package):
    """A literal: if it changes with the version, records of one are older code in another."""
    text = 'def train(x):\n    return f"{x + 1} is {x!r:>4}", [y for y in x if y], x[1:], lambda z, *a: z\n'
    (package / "train.py").write_text(text)
    assert of_train(package) == "d7c35d810e0f"


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


@pytest.mark.slow
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
