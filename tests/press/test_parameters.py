"""A parameters cell is read as syntax: nothing of it runs, whatever it says, and any of papermill's forms is known."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from lib.__main__ import main
from lib.paths import ROOT
from lib.press.parameters import Parameter, ParameterError, check_values, declared_in, parameters


def notebook(folder: Path, source: str, language: str = "python", name: str = "own") -> Path:
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    told = {"kernelspec": {"name": language, "display_name": language}, "language_info": {"name": language}}
    path = folder / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(metadata=told, cells=[cell]), path)
    return path


HOSTILE = "[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == 'Popen'][0](['touch', '{file}'])"
FORMS = [
    "x: {code} = 1",
    "x: Foo[{code}] = 1",
    "x: Union[int, Foo[{code}]] = 1",
    'x: "{code}" = 1',
    "x = {code}",
    "x: float = {code}",
    "x = 1  # type: {code}",
    "if {code}:\n    x = 1",
    "x, y = {code}",
    "%run -c {code}\nx = 1",
    "!{code}\nx = 1",
    "x: (lambda: {code})() = 1",
    "@{code}\ndef f(): pass\nx = 1",
    'x = f"{{{code}}}"',
]


@pytest.mark.parametrize("form", FORMS)
def test_reading_a_notebook_runs_nothing_of_it(tmp_path, form, capfd):
    touched = tmp_path / "touched"
    path = notebook(tmp_path, form.format(code=HOSTILE.format(file=touched)))
    (tmp_path / "own.yml").write_text("notebook: own.ipynb\ngrid: {product: {x: [1, 2]}}\n", encoding="utf-8")
    for arguments in (
        ["sweep", str(tmp_path / "own.yml"), "--plan", "--store", str(tmp_path / "s")],
        ["parameters", str(path)],
    ):
        assert main(arguments) == 0
        assert "x" in capfd.readouterr().out
    check_values("own", parameters(path), {"x": [1, {"a": None}]} if form.startswith(("x, ", "if")) else {"x": 1})
    assert not touched.exists()


def test_the_crafted_annotation_does_start_a_program_where_it_is_evaluated(tmp_path):
    """Else the test above would show nothing."""
    code = f"import subprocess\neval({HOSTILE.format(file=tmp_path / 'touched')!r}, {{'__builtins__': {{}}}}).wait()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "source",
    [
        "x: " + "(" * 5000 + "int" + ")" * 5000 + " = 1",
        "x: " + "-" * 20000 + "1 = 1",
        "x = " + "[" * 5000 + "]" * 5000,
        "x: list" + "[list" * 300 + "]" * 300 + " = 1",
        "x: int = 1\x00",
        "x = 2 ** 10 ** 10",
        "x = 'a' * 10 ** 12",
        "x = " + "9" * 10000,
    ],
)
def test_what_breaks_a_parser_is_a_sentence(tmp_path, source, capsys):
    path = notebook(tmp_path, source)
    status = main(["parameters", str(path)])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    assert status == 0 or "own.ipynb: its parameters cell is no Python" in shown.err


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"cells": 3}', '{"cells": [1]}', "{" * 5000, '{"cells": []}', "\x00"]
)
def test_what_is_no_notebook_is_a_sentence(tmp_path, text):
    (tmp_path / "own.ipynb").write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError, match=r"own.ipynb (is no notebook|has no cell tagged 'parameters')"):
        parameters(tmp_path / "own.ipynb")


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("typing.Optional[int]", [None, 3], ["3", 0.5]),
        ("int | None", [None, 3], ["3", True]),
        ("Union[int, str]", [3, "a"], [0.5, None, [1]]),
        ("List[str]", [[], ["a"]], ["a", [1]]),
        ("list", [[1, "a"]], [{}, "a"]),
        ("tuple[int, str]", [[1, "a"]], [[1], ["a", 1]]),
        ("tuple[int, ...]", [[], [1, 2]], [["a"], 1]),
        ("Dict[str, float]", [{"a": 1}], [{"a": "b"}, [1]]),
        ("dict", [{}], [[]]),
        ("Literal['a', 3]", ["a", 3], ["b", 4, True]),
        ("'float'", [0.1, 1], ["0.1"]),
        ("Annotated[int, 'how many']", [1], ["a"]),
        ("Any", [1, "a", None], []),
        ("list[int | None]", [[1, None]], [["a"]]),
    ],
)
def test_annotations_of_known_types_are_checked(annotation, good, bad):
    parameter = Parameter("p", annotation, None, "")
    assert parameter.checked
    assert [value for value in good if not parameter.accepts(value)] == []
    assert [value for value in bad if parameter.accepts(value)] == []


@pytest.mark.parametrize("annotation", ["np.ndarray", "MyEnum", "Path", "Callable[[int], int]", "list[Foo]", "1 + 1"])
def test_other_annotations_are_accepted_and_said_to_be_unchecked(tmp_path, annotation):
    declared = declared_in(notebook(tmp_path, f"p: {annotation} = None"))
    assert declared.parameters[0].accepts(["a"])
    assert declared.notes() == [f"these types are not known here, and not fully checked: p: {annotation}"]
    assert declared.notes(["other"]) == []


def test_plain_assignments_have_the_type_of_their_default(tmp_path):
    source = "alpha = 0.1  # rate\nn = 3\nname = 'a'\non = True\nnone = None\nsizes = [1]\na, b = 1, 'x'\nc = d = 2"
    declared = declared_in(notebook(tmp_path, source))
    assert [str(one) for one in declared.parameters] == [
        "alpha = 0.1  # rate", "n = 3", "name = 'a'", "on = True", "none = None", "sizes = [1]",
        "a = 1", "b = 'x'", "c = 2", "d = 2",
    ]  # fmt: skip
    declared.check({"alpha": 1, "n": 0.5, "name": "b", "on": False, "none": [1], "sizes": ["a"], "b": "y"})
    for name, wrong in (("alpha", "much"), ("n", True), ("name", 3), ("on", 1), ("sizes", 1), ("b", 2)):
        with pytest.raises(ParameterError, match=f"{name} cannot be"):
            declared.check({name: wrong})
    (note,) = declared.notes(["alpha", "on", "none", "b"])
    assert note == (
        "without annotation, the type is that of the default: alpha: number, on: bool, none: anything, b: text"
    )


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("%matplotlib inline\nalpha: float = 0.1", "alpha: float = 0.1"),
        ("%%time\nalpha = 0.1", "alpha = 0.1"),
        ("!pip list\nalpha = 0.1\nalpha?", "alpha = 0.1"),
        ("alpha = !date", "alpha = ..."),
        ("alpha = %env HOME", "alpha = ..."),
        ("alpha: float = 1/10", "alpha: float = 1 / 10"),
        ("alpha = float(3)", "alpha = float(3)"),
        ("alpha: float", "alpha: float"),
        ("alpha = 3  # type: float  how much", "alpha: float = 3  # how much"),
        ("if True:\n    alpha = 3", "alpha = ..."),
        ("alpha = (\n    1  # one\n)  # whole", "alpha = 1  # whole"),
        ("alpha = 1\nalpha += 1", "alpha = 1"),
        ("alpha = '''\n%a\n'''", r"alpha = '\n%a\n'"),
    ],
)
def test_every_form_of_papermill_is_read(tmp_path, source, shown):
    declared = declared_in(notebook(tmp_path, source))
    assert [str(one) for one in declared.parameters] == [shown]
    declared.check({"alpha": 0.5} if "'''" not in source else {})


def test_a_default_that_is_lacking_or_computed_is_said(tmp_path):
    declared = declared_in(notebook(tmp_path, "a: float\nb = 1 / 10\nc: int = int(2)\nd = 1"))
    assert declared.lacking(["b"]) == ["a"]
    assert declared.lacking(["a"]) == []
    assert declared.notes(["b", "c"]) == ["these defaults are computed, and their types not checked: b = 1 / 10"]
    declared.check({"b": "anything", "c": 3})
    with pytest.raises(ParameterError, match="c cannot be 'x'"):
        declared.check({"c": "x"})


def test_choices_are_heeded_only_where_the_default_is_one_of_them(tmp_path):
    source = "kind = 'a'  # one of a, b\nn: int = 3  # one of 3, 4: sizes\nother = 1  # one of the numbers that matter"
    declared = declared_in(notebook(tmp_path, source))
    declared.check({"kind": "b", "n": 4, "other": 7})
    for given in ({"kind": "c"}, {"n": 5}):
        with pytest.raises(ParameterError, match="cannot be"):
            declared.check(given)


def test_another_language_is_named_and_not_checked(tmp_path, capsys):
    path = notebook(tmp_path, "alpha <- 0.1", "R")
    declared = declared_in(path)
    declared.check({"anything": "goes"})
    assert declared.notes() == ["own is in R: names and types of its parameters are not checked"]
    assert main(["parameters", str(path)]) == 0
    assert "own is in R: names and types" in capsys.readouterr().out


def test_a_cell_that_is_no_python_is_named(tmp_path):
    with pytest.raises(ParameterError, match=r"own.ipynb: its parameters cell is no Python \(.*line 2\)"):
        parameters(notebook(tmp_path, "a = 1\nb <- 2 3"))
