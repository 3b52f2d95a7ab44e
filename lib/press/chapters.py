"""Chapters as files: their opening, their runs, their outputs.

A chapter is ``notebooks/NN_name.ipynb`` with outputs kept, and its py:percent
twin; the same goes for notebooks of one condition in ``notebooks/sweeps``.
Captions and alternative texts of its figures lie in ``notebooks/captions``.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ..experiments import Machine, Recordable
from ..files import atomic, whole_files
from ..paths import CAPTIONS, NOTEBOOKS, ROOT
from ..records import MODE_VARIABLE, obtain_groups, recorded
from ..runs import Runs
from . import show
from .claims import Claim, Ledger, claims_of
from .execute import execute_notebook, prepared
from .parameters import Parameter, check_values, parameters

PROFILES = ("smoke", "cpu", "paper")
PAPERMILL_CELL = "# Parameters\n"  # how papermill begins the cell of values it puts in


class ChapterFailed(RuntimeError):
    """A cell raised, or the kernel died; ``notebook`` is the executed notebook up to there."""

    def __init__(self, chapter: str, error: str, notebook: Path) -> None:
        super().__init__(f"{chapter}: {error}\nThe notebook up to there: {notebook}")
        self.notebook = notebook
        self._made_of = (chapter, error, notebook)

    def __reduce__(self):  # so that it passes from one process to another
        return type(self), self._made_of


def names() -> list[str]:
    """All chapters, in the book's order."""
    return sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def singles() -> list[str]:
    """The notebooks of one condition each, made for sweeps and no chapters: "sweeps/NAME"."""
    return [f"sweeps/{path.stem}" for path in whole_files(NOTEBOOKS / "sweeps", "*.ipynb")]


def find(name: str) -> Path:
    """The notebook that ``name`` (number, name, file) means; ValueError names what there is."""
    path = Path(name)
    if path.suffix == ".ipynb" and path.is_file():
        return path.resolve()
    own = f"the book's own chapters are: {', '.join([*names(), *singles()])}"
    file = path.suffix in (".ipynb", ".py")
    stem = path.stem if file or path.name != name else name
    if path.suffix == ".ipynb" and path.name != name and not path.resolve().is_relative_to(NOTEBOOKS):
        raise ValueError(f"{name} is {'no notebook' if path.exists() else 'not there'}; {own}")
    for chapter in names():
        number, _, rest = chapter.partition("_")
        if stem in (chapter, rest, number, number.lstrip("0")):
            return NOTEBOOKS / f"{chapter}.ipynb"
    for single in singles():
        if stem == Path(single).stem:
            return NOTEBOOKS / f"{single}.ipynb"
    raise ValueError(
        f"{name} is {'no notebook' if path.exists() else 'not there'}; {own}"
        if file
        else f"unknown chapter {name!r}; {own}"
    )


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


def open_chapter(
    chapter: str,
    namespace: Mapping[str, Any],
    plan: Callable[[str], Mapping[str, Sequence[Recordable]]],
    *,
    among: Sequence[str] = PROFILES[1:],
    least_seeds: int = 1,
) -> tuple[str, dict[str, Runs], Ledger]:
    """Check a chapter's parameters, pick its profile, obtain its runs and begin its ledger: profile, runs, ledger.

    ``namespace`` is the chapter's ``globals()`` with its parameters; ``plan``
    gives the experiments of a profile, in named groups; ``among`` are the
    recorded profiles that the chapter has. ParameterError or ValueError for
    what cannot be meant, before any compute.
    """
    check_parameters(chapter, namespace)
    for name in ("noise_rate", "trained_rate"):
        if namespace.get(name) == 0:
            raise ValueError(f"{name} is 0: this chapter is about wrong labels, and needs some")
    seeds = namespace.get("seeds")
    if seeds is not None and seeds < least_seeds:
        raise ValueError(f"seeds must be at least {least_seeds}, not {seeds}: effects come with an interval over seeds")
    profile = best_profile(namespace["profile"], plan, among)
    machine = Machine(namespace["device"])
    runs = obtain_groups(plan(profile), fresh=namespace["fresh"], keep=profile != "smoke", machine=machine)
    live = any(run.live for group in runs.values() for run in group)
    return profile, runs, Ledger(chapter, profile, live=live)


def profiles(path: Path) -> list[str]:
    """The profiles that a chapter can be run at."""
    declared = _of_profile(path)
    return [name for name in PROFILES if declared.accepts(name)]


def _of_profile(path: Path) -> Parameter:
    return next(parameter for parameter in parameters(path) if parameter.name == "profile")


def execute(
    path: Path, given: Mapping[str, Any], output: Path, *, mode: str = "", progress: bool = True
) -> list[Claim]:
    """Run a chapter with given parameters into ``output``, written whole; returns its claims.

    ``mode`` is what `records.obtain` may do: "record" into the book, only
    "replay" what is recorded, or "" for as usual. Raises ParameterError before
    anything starts, ChapterFailed if a cell raises or the kernel dies.
    """
    check_values(path.stem, parameters(path), given)
    failed = output.with_suffix(".failed.ipynb")
    failed.unlink(missing_ok=True)
    notebook = prepared(path, given)
    env = kernel_environment({MODE_VARIABLE: mode})
    shown = path.stem if progress else ""
    try:
        error = execute_notebook(notebook, folder=Path.cwd(), env=env, progress=shown, timed=True)
    except (RuntimeError, OSError) as death:  # of the kernel
        error = f"{type(death).__name__}: {death}"
    _write(failed if error else output, notebook)
    if error:
        raise ChapterFailed(path.stem, str(error), failed)
    return claims_of(notebook)


def kernel_environment(values: Mapping[str, str]) -> dict[str, str]:
    """The environment of a kernel that runs a notebook of the book: it finds ``lib`` wherever it works."""
    found = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": found, **values}


def _write(path: Path, notebook: Any) -> None:
    import nbformat

    with atomic(path) as part:
        nbformat.write(notebook, part)


@dataclass(frozen=True)
class Job:
    """A chapter to be run: what `execute` takes."""

    path: Path
    given: Mapping[str, Any]
    output: Path
    mode: str = ""


def jobs(
    chapters: Sequence[str], profile: str, given: Sequence[tuple[str, str]], folder: Path, mode: str = ""
) -> list[Job]:
    """Chapters to be run (none named: all that have the profile) with values typed on a command line.

    All of them are checked before the first one starts: ParameterError, ValueError (also where no chapter has the
    profile).
    """
    made = []
    for path in [find(name) for name in chapters or names()]:
        if not chapters and not _of_profile(path).accepts(profile):
            print(f"{path.stem} has no profile {profile}: left out")
            continue
        declared = {parameter.name: parameter for parameter in parameters(path)}
        values = {"profile": profile}
        for name, text in given:
            if name == "profile":
                raise ValueError("name the profile by --profile")
            values[name] = declared[name].read(text) if name in declared else text
        check_values(path.stem, list(declared.values()), values)
        told = "".join(f"-{name}={value}" for name, value in values.items() if name != "profile")
        changed = re.sub(r"[^\w.,=+\- ]", "_", told)  # a name, not a path
        made.append(Job(path, values, folder / f"{path.stem}{changed}.ipynb", mode))
    if not made:
        raise ValueError(f"no chapter has a profile {profile!r}; there are: {', '.join(['best', *PROFILES])}")
    return made


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
    """Run a chapter's twin as plain Python: for machines without Jupyter. Figures are drawn, not shown.

    In a process of its own, so that what it does to the interpreter ends with
    it. RuntimeError if it fails; its traceback is on the terminal.
    """
    check_values(path.stem, parameters(path), given)
    twin = path.with_suffix(".py")
    cells = re.split(r"(?m)^(?=# %%)", twin.read_text(encoding="utf-8"))
    (where,) = [i for i, cell in enumerate(cells) if re.match(r"# %%.*tags=\[.*\"parameters\"", cell)]
    cells.insert(where + 1, "".join(f"{name} = {value!r}\n" for name, value in given.items()))
    env = kernel_environment({MODE_VARIABLE: mode, "MPLBACKEND": "agg", "PYTHONUTF8": "1"})
    done = subprocess.run([sys.executable, "-"], input="".join(cells).encode(), env=env, cwd=Path.cwd())
    if done.returncode:
        raise RuntimeError(f"{twin.name} failed with exit status {done.returncode}")


def twins(wanted: Sequence[str] = ()) -> list[Path]:
    """The notebooks of the twins that are named by a part of their name; all without. ValueError for an unknown one."""
    paths = [*sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py")), *sorted((NOTEBOOKS / "sweeps").glob("*.py"))]
    known = {path.relative_to(NOTEBOOKS).with_suffix("").as_posix(): path.with_suffix(".ipynb") for path in paths}
    found = []
    for name in wanted or known:
        meant = [twin for twin in known if name in (twin, *twin.split("_", 1))] or [
            twin for twin in known if name in twin
        ]
        if len(meant) != 1:
            what = f"{name!r} may mean {', '.join(meant)}" if meant else f"unknown chapter {name!r}"
            raise ValueError(f"{what}; there are: {', '.join(known)}")
        found.append(known[meant[0]])
    return found


def keep(path: Path) -> None:
    """Make the notebook of its twin and execute it as it is, outputs kept (they are what the book shows)."""
    import jupytext
    import nbformat

    twin = jupytext.read(path.with_suffix(".py"))
    _write_captions(twin, captions(path))
    twin.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
        | {"language_info": {"name": "python"}, "jupytext": {"formats": "ipynb,py:percent"}}
    )
    for number, cell in enumerate(twin.cells):
        cell["id"] = f"cell-{number}"  # stable, so that a new execution changes only what changed
    # The chapter reads its own parameters from the notebook: the new one must be there first.
    _write(path, twin)
    if error := execute_notebook(twin, folder=path.parent, env=kernel_environment({"TQDM_DISABLE": "1"})):
        raise RuntimeError(f"{path.stem}: {error}\n{error.traceback}")
    twin.metadata["language_info"] = {"name": "python"}
    _write(path, twin)


def captions(path: Path) -> dict[str, dict[str, str]]:
    """For each figure of a notebook its ``caption`` and ``alt``, from ``notebooks/captions``; none without a file."""
    import yaml

    file = CAPTIONS / f"{path.stem}.yml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}


def _write_captions(notebook: Any, told: Mapping[str, Mapping[str, str]]) -> None:
    """Into the metadata of the cells that name a figure, as MyST-NB reads them. ValueError for one without."""
    for cell in notebook.cells:
        if name := cell.metadata.get("figure"):
            if not told.get(name, {}).get("caption") or not told[name].get("alt"):
                raise ValueError(f"figure {name} has no caption and alt in notebooks/captions")
            figure, image = {"caption": told[name]["caption"], "name": name}, {"alt": told[name]["alt"]}
            cell.metadata["mystnb"] = {"figure": figure, "image": image}


def drift(path: Path) -> str:
    """How a notebook differs from its twin: "" if it does not."""
    import jupytext
    from jupytext.compare import NotebookDifference, compare_notebooks

    twin = path.with_suffix(".py")
    if not twin.exists():
        return f"{path.name} has no twin {twin.name}"
    made, kept = jupytext.read(twin), jupytext.read(path)
    try:
        for cell in kept.cells:
            cell.metadata.pop("mystnb", None)  # captions are no part of the twin
        compare_notebooks(made, kept, fmt="py:percent", compare_outputs=False)
    except (NotebookDifference, AssertionError) as difference:
        return f"{path.name} and {twin.name} differ: {difference}"
    return ""
