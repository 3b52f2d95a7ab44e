"""Chapters as files: their parameters, their runs, their outputs.

A chapter is ``notebooks/NN_name.ipynb`` with outputs kept, and its py:percent
twin; the same goes for notebooks of one condition in ``notebooks/sweeps``.
A ``parameters`` cell holds annotated assignments with comments, which are its
help text and what every value given is checked against.
"""

import ast
import json
import os
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Optional, Union, get_args, get_origin

from ..experiments import Recordable
from ..files import atomic
from ..paths import NOTEBOOKS
from ..records import MODE_VARIABLE, recorded
from . import show
from .claims import Claim, claims_of

PROFILES = ("smoke", "cpu", "paper")
PAPERMILL_CELL = "# Parameters\n"  # how papermill begins the cell of values it puts in
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "Optional": Optional}
QUIET = ["--log-level=CRITICAL"]  # kernels write a warning about TCP at every start


class ParameterError(ValueError):
    """A parameter that the chapter does not have, or a value it cannot take."""


class ChapterFailed(RuntimeError):
    """A cell raised; ``notebook`` is the executed notebook up to there."""

    def __init__(self, chapter: str, error: str, notebook: Path) -> None:
        super().__init__(f"{chapter}: {error}\nThe notebook up to there: {notebook}")
        self.notebook = notebook
        self._made_of = (chapter, error, notebook)

    def __reduce__(self):  # so that it passes from one process to another
        return type(self), self._made_of


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: ``name: annotation = default  # comment``.

    Annotations keep to what papermill can read. A comment that begins with
    "one of a, b, c:" names the only values allowed.
    """

    name: str
    annotation: str
    default: Any
    comment: str

    @property
    def choices(self) -> list[str]:
        """The only values allowed; empty if any of the type is."""
        listed = re.match(r"one of ([^:;]+)", self.comment)
        return listed[1].split(", ") if listed else []

    def accepts(self, value: Any) -> bool:
        """Whether a value is of the type, and one of the choices if there are any."""
        # The annotation is source of the book's own notebooks, and may name only these types.
        fits = _fits(value, eval(self.annotation, {"__builtins__": {}}, TYPES))
        return fits and (not self.choices or value in self.choices)

    def read(self, text: str) -> Any:
        """A value typed on a command line: JSON or Python where that fits the type, else text."""
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            try:
                value = ast.literal_eval(text)  # .2, None, True
            except (ValueError, SyntaxError):
                value = text
        return value if self.accepts(value) or not self.accepts(text) else text

    def __str__(self) -> str:
        return f"{self.name}: {self.annotation} = {self.default!r}  # {self.comment}"


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Union:  # Optional[...]
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_fits(item, get_args(kind)[0]) for item in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def names() -> list[str]:
    """All chapters, in the book's order."""
    return sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def singles() -> list[str]:
    """The notebooks of one condition each, made for sweeps and no chapters: "sweeps/NAME"."""
    return sorted(f"sweeps/{path.stem}" for path in (NOTEBOOKS / "sweeps").glob("*.ipynb"))


def find(name: str) -> Path:
    """The notebook that ``name`` (number, name, file) means; ValueError names what there is."""
    stem = Path(name).stem
    for chapter in names():
        number, _, rest = chapter.partition("_")
        if stem in (chapter, rest, number, number.lstrip("0")):
            return NOTEBOOKS / f"{chapter}.ipynb"
    for single in singles():
        if stem == Path(single).stem:
            return NOTEBOOKS / f"{single}.ipynb"
    raise ValueError(f"unknown chapter {name!r}; there are: {', '.join([*names(), *singles()])}")


def parameters(path: Path) -> list[Parameter]:
    """What the ``parameters`` cell of a notebook declares."""
    for cell in json.loads(path.read_text())["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            return _declared("".join(cell["source"]))
    raise ParameterError(f"{path.name} has no cell tagged 'parameters'")


def _declared(source: str) -> list[Parameter]:
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    return [
        Parameter(
            line.target.id, ast.unparse(line.annotation), ast.literal_eval(line.value), comments.get(line.lineno, "")
        )
        for line in ast.parse(source).body
        if isinstance(line, ast.AnnAssign)
    ]


def check_values(chapter: str, declared: list[Parameter], given: Mapping[str, Any]) -> None:
    """ParameterError for an unknown name or a value of the wrong type; it lists what is allowed."""
    known = {parameter.name: parameter for parameter in declared}
    listing = "\n".join(f"  {parameter}" for parameter in declared)
    for name, value in given.items():
        if name not in known:
            raise ParameterError(f"{chapter} has no parameter {name!r}. It has:\n{listing}")
        if not known[name].accepts(value):
            raise ParameterError(f"{chapter}: {name} cannot be {value!r} ({type(value).__name__}). It has:\n{listing}")


def check_parameters(chapter: str, namespace: Mapping[str, Any]) -> None:
    """Called by a chapter after its parameters: were they all known, and of the right type?

    papermill only warns of a name it does not find and never checks a type.
    """
    declared = parameters(NOTEBOOKS / f"{chapter}.ipynb")
    injected = [source for source in namespace.get("In", []) if source.startswith(PAPERMILL_CELL)]
    given = {target.id for line in ast.parse(injected[-1]).body for target in line.targets} if injected else set()
    values = {parameter.name: namespace[parameter.name] for parameter in declared}
    check_values(chapter, declared, values | {name: namespace.get(name) for name in sorted(given)})


def default(value: Any, otherwise: Any) -> Any:
    """A parameter's value, or for None what the profile has."""
    return otherwise if value is None else value


def best_profile(
    profile: str,
    plan: Callable[[str], Mapping[str, Sequence[Recordable]]],
    among: Sequence[str] = PROFILES[1:],
) -> str:
    """``profile`` itself, or for "best" the largest one whose experiments are all recorded, else smoke.

    ``plan`` gives the experiments of a profile, in named groups; ``among``
    are the recorded profiles that a chapter has, the smallest first.
    """
    if profile != "best":
        return profile
    for name in reversed(among):
        if all(recorded(group) for group in plan(name).values()):
            return name
    show.markdown(
        "These values are recorded at no profile: trained live at `smoke`. Name a larger `profile` to train there."
    )
    return "smoke"


def profiles(path: Path) -> list[str]:
    """The profiles that a chapter can be run at."""
    (declared,) = [parameter for parameter in parameters(path) if parameter.name == "profile"]
    return [name for name in PROFILES if declared.accepts(name)]


@contextmanager
def environment(**values: str):
    """Environment variables for a kernel to inherit, put back afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def execute(
    path: Path, given: Mapping[str, Any], output: Path, *, mode: str = "", progress: bool = True
) -> list[Claim]:
    """Run a chapter through papermill into ``output``, written whole; returns its claims.

    ``mode`` is what `records.obtain` may do: "record" into the book, only
    "replay" what is recorded, or "" for as usual. Raises ParameterError before
    anything starts, ChapterFailed if a cell raises.
    """
    import papermill

    check_values(path.stem, parameters(path), given)
    failed = output.with_suffix(".failed.ipynb")
    failed.unlink(missing_ok=True)
    with environment(**{MODE_VARIABLE: mode}), atomic(output) as part:
        try:
            papermill.execute_notebook(
                str(path),
                str(part),
                parameters=dict(given),
                progress_bar={"desc": path.stem, "unit": "cell", "leave": False} if progress else False,
                request_save_on_cell_execute=False,
                cwd=None,
                kernel_name="python3",
                extra_arguments=QUIET,
            )
        except papermill.PapermillExecutionError as error:
            part.rename(failed)
            raise ChapterFailed(path.stem, f"{error.ename}: {error.evalue}", failed) from None
    return claims_of(json.loads(output.read_text()))


@dataclass(frozen=True)
class Job:
    """A chapter to be run: what `execute` takes."""

    path: Path
    given: Mapping[str, Any]
    output: Path
    mode: str = ""


def execute_many(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, list[Claim] | ChapterFailed]]:
    """Run chapters, ``workers`` of them at once, each in a process of its own; each comes with its claims or failure.

    They come in the order in which they were given. Each gets its share of the
    cores: kernels that each use all of them wait for each other, ten times as long.
    """
    if workers <= 1 or len(jobs) <= 1:
        yield from ((job, _attempt(job, progress=True)) for job in jobs)
        return
    workers = min(workers, len(jobs))
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(workers, get_context("spawn"), _share_cores, (threads,)) as pool:
        yield from zip(jobs, pool.map(_attempt, jobs), strict=True)


def _share_cores(threads: int) -> None:
    """In a process of the pool: the kernels that it starts take so many threads, unless the user has said how many."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def _attempt(job: Job, progress: bool = False) -> list[Claim] | ChapterFailed:
    try:
        return execute(job.path, job.given, job.output, mode=job.mode, progress=progress)
    except ChapterFailed as failure:
        return failure


def run_script(path: Path, given: Mapping[str, Any], *, mode: str = "") -> None:
    """Run a chapter's twin as plain Python: for machines without Jupyter. Figures are drawn, not shown."""
    check_values(path.stem, parameters(path), given)
    twin = path.with_suffix(".py")
    cells = re.split(r"(?m)^(?=# %%)", twin.read_text())
    (where,) = [i for i, cell in enumerate(cells) if re.match(r"# %%.*tags=\[.*\"parameters\"", cell)]
    cells.insert(where + 1, "".join(f"{name} = {value!r}\n" for name, value in given.items()))
    code = compile("".join(cells), str(twin), "exec")
    with environment(**{MODE_VARIABLE: mode, "MPLBACKEND": "agg"}):
        exec(code, {"__name__": "__main__", "__file__": str(twin)})


def keep(path: Path) -> None:
    """Make the notebook of its twin and execute it as it is, outputs kept (they are what the book shows)."""
    import jupytext
    import nbclient
    import nbformat

    twin = jupytext.read(path.with_suffix(".py"))
    twin.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
        | {"language_info": {"name": "python"}, "jupytext": {"formats": "ipynb,py:percent"}}
    )
    # The chapter reads its own parameters from the notebook: the new one must be there first.
    _write_notebook(path, twin)
    with environment(TQDM_DISABLE="1"):
        client = nbclient.NotebookClient(
            twin,
            kernel_name="python3",
            extra_arguments=QUIET,
            record_timing=False,
            resources={"metadata": {"path": str(path.parent)}},
        )
        client.execute()
    twin.metadata["language_info"] = {"name": "python"}
    _write_notebook(path, twin)


def _write_notebook(path: Path, notebook: Any) -> None:
    import nbformat

    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # stable, so that a new execution changes only what changed
    with atomic(path) as part:
        nbformat.write(notebook, part)


def drift(path: Path) -> str:
    """How a notebook differs from its twin: "" if it does not."""
    import jupytext
    from jupytext.compare import NotebookDifference, compare_notebooks

    twin = path.with_suffix(".py")
    if not twin.exists():
        return f"{path.name} has no twin {twin.name}"
    try:
        compare_notebooks(jupytext.read(twin), jupytext.read(path), fmt="py:percent", compare_outputs=False)
    except (NotebookDifference, AssertionError) as difference:
        return f"{path.name} and {twin.name} differ: {difference}"
    return ""
