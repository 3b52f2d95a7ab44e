"""A Dask cluster that a small YAML file names: any class, with its arguments.

::

    class: dask_jobqueue.SLURMCluster
    arguments: {cores: 1, processes: 1, job_cpu: 8, memory: 16GB, walltime: "04:00:00"}
    adapt: {maximum_jobs: 32}       # or scale: 4; neither where the arguments say how many workers there are
    threads: 8                      # of each point; 1 if it is left out
"""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .grid import SweepError, keyed_lines, read_yaml

NO_NUMBERS = True
KEYS = ("class", "arguments", "adapt", "scale", "threads")


@dataclass(frozen=True)
class NamedCluster:
    """What such a file says; nothing is imported before `started`."""

    name: str  # of the class, dotted
    arguments: Mapping[str, Any] = field(default_factory=dict)
    adapt: Mapping[str, Any] | None = None
    scale: int | None = None
    threads: int = 1

    @contextmanager
    def started(self) -> Iterator[Any]:
        """The cluster, ended when the block is. RuntimeError, in a sentence, if it cannot be started."""
        module, _, kind = self.name.rpartition(".")
        try:
            make = getattr(importlib.import_module(module), kind)
        except ImportError as error:
            raise RuntimeError(f"the cluster {self.name} needs a package that is not here: {error}") from None
        except AttributeError:
            raise RuntimeError(f"{module} has no {kind}") from None
        try:
            cluster = make(**self.arguments)
        except Exception as error:  # whatever somebody's class raises
            raise RuntimeError(f"the cluster {self.name} did not start: {type(error).__name__}: {error}") from error
        try:
            if self.adapt is not None:
                cluster.adapt(**self.adapt)
            if self.scale is not None:
                cluster.scale(self.scale)
            yield cluster
        finally:
            cluster.close()


def load_cluster(path: Path) -> NamedCluster:
    """Read and check a file; SweepError if it makes no sense."""
    try:
        told = keyed_lines("the file", read_yaml(path), KEYS, ("class",))
        name = told["class"]
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")) or "." not in name:
            raise SweepError(f"class must be the dotted name of a Dask cluster, not {name!r}")
        if told.get("adapt") is not None and told.get("scale") is not None:
            raise SweepError("give adapt or scale, not both")
        for key in ("scale", "threads"):
            value = told.get(key)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise SweepError(f"{key} must be 1 or more, not {value!r}")
        adapt = keyed_lines("adapt", told["adapt"]) if told.get("adapt") is not None else None
        arguments = keyed_lines("arguments", told.get("arguments"))
        return NamedCluster(name, arguments, adapt, told.get("scale"), told.get("threads") or 1)
    except SweepError as error:
        raise SweepError(f"{path.name}: {error}") from None
    except OSError as error:
        raise SweepError(f"{path} cannot be read: {error}") from None
