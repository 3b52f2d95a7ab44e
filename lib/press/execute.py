"""One way to execute a notebook: in a kernel that has its own folder and environment, and leaves the caller's alone.

papermill puts the parameters in; nbclient, which papermill stands on, runs the
cells. papermill's own runner changes folder and environment of the whole
process, so that only one notebook could run at a time.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ..progress import bar

NO_NUMBERS = True
START_TIMEOUT = 300  # seconds for a kernel to answer: on a crowded machine that is long after it was started


@dataclass(frozen=True)
class CellError:
    """What a cell raised: the exception's name and text, and its traceback without colours."""

    name: str
    value: str
    traceback: str

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


class NoKernel(RuntimeError):
    """The kernel that a notebook asks for is not installed here."""


def prepared(path: Path, given: Mapping[str, Any]) -> Any:
    """A notebook as a node, without outputs and with the given values.

    They are in a cell tagged "injected-parameters" after the one tagged
    "parameters"; it begins with the line ``# Parameters``.
    """
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    notebook = load_notebook_node(str(path))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)  # when it ran before
    if not given:
        return notebook
    named = ("python3", "python") if _is_python(notebook) else (None, None)  # None: as the notebook says
    return parameterize_notebook(notebook, dict(given), kernel_name=named[0], language=named[1])


def _is_python(notebook: Any) -> bool:
    told = notebook.metadata
    language = told.get("language_info", {}).get("name") or told.get("kernelspec", {}).get("language") or "python"
    return language.lower().startswith(("python", "ipython"))


def kernel_of(notebook: Any) -> tuple[str, bool]:
    """The kernel for a notebook, and whether it is IPython's; NoKernel if there is none.

    A Python notebook whose own kernel is not installed here gets this Python's.
    """
    name = notebook.metadata.get("kernelspec", {}).get("name") or "python3"
    if name == "python3":
        return name, True
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        if _is_python(notebook):
            return "python3", True
        raise NoKernel(f"there is no kernel {name!r} here; `jupyter kernelspec list` shows those that are") from None
    return name, any("ipykernel" in word for word in spec.argv)


def execute_notebook(
    notebook: Any,
    *,
    folder: Path,
    env: Mapping[str, str] | None = None,
    progress: str = "",
    timed: bool = False,
    told: str = "",
) -> CellError | None:
    """Execute a notebook's node in place, up to its end or to the first cell that raises; what that raised.

    folder: where its kernel works. env: the kernel's whole environment; None:
    the process's. progress: name of a bar that counts cells, "" for none.
    timed: note in the cells' metadata when each ran, for `cells_seconds`.
    told: Python that an IPython kernel runs before the first cell, in a place of its own.
    A kernel that dies or does not start is a RuntimeError or an OSError, one that is not installed NoKernel.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    kernel, ipython = kernel_of(notebook)
    arguments = ["--log-level=CRITICAL"] if ipython else []  # else a warning about TCP at every start
    if told and ipython:
        arguments.append(f"--IPKernelApp.exec_lines=exec({told!r}, {{}})")
    steps = iter(bar(range(len(notebook.cells)), progress, "cell", show=bool(progress)))
    client = NotebookClient(
        notebook,
        kernel_name=kernel,
        startup_timeout=START_TIMEOUT,
        timeout=None,
        raise_on_iopub_timeout=True,  # else a claim that comes late is silently lost
        record_timing=timed,
        extra_arguments=arguments,
        shutdown_kernel="immediate",  # all cells are done; torch takes seconds to leave in good order
        on_cell_start=lambda **_: next(steps, None),
    )
    try:
        client.execute(env=dict(os.environ if env is None else env), cwd=str(folder))
    except CellExecutionError as raised:
        if raised.ename == "SystemExit" and raised.evalue in ("", "0"):  # a notebook that ended itself
            return None
        return CellError(raised.ename, raised.evalue, _traceback(notebook))
    finally:
        for _ in steps:  # takes the bar away
            pass
    return None


def _traceback(notebook: Any) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    lines = next((output["traceback"] for output in reversed(outputs) if output["output_type"] == "error"), [])
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))


def cells_seconds(notebook: Mapping[str, Any]) -> float:
    """Seconds that the cells of an executed notebook took, of those that were timed."""
    seconds = 0.0
    for cell in notebook["cells"]:
        times = cell["metadata"].get("execution", {})
        if "shell.execute_reply" in times and "iopub.execute_input" in times:
            ended, begun = times["shell.execute_reply"], times["iopub.execute_input"]
            seconds += (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()
    return seconds
