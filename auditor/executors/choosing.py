"""Open the executor that a name stands for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from auditor.errors import InputError
from auditor.executors.lanes import ProcessExecutor
from auditor.executors.outcomes import Executor, SerialExecutor

__all__ = ["open_executor"]


_PER_CORE, _LEAST_MOST = 4, 16
"""More processes than so many for each core gain nothing, and each takes 100 MB and more."""


def open_executor(
    name: str, *, jobs: int | None, imports: Sequence[str] = (), versions: Callable[[], dict[str, str]] = dict
) -> Executor:
    """Open the executor `name`: `processes`, `serial`, `dask` or the address of a Dask scheduler.

    `jobs` defaults to the cores that this process may use; worker processes load the modules `imports` at once.
    Workers of other programs must have the same `versions`.

    Raises:
        InputError: there is no such executor, there are more `jobs` than this machine can have, nothing answers at the
            address, or its workers have other versions.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count, most = jobs or cores, max(_LEAST_MOST, _PER_CORE * cores)
    if count > most:
        raise InputError(f"--jobs {count}: expected at most {most} on {cores} cores")
    if name == "serial":
        return SerialExecutor()
    if name == "processes":
        return ProcessExecutor(count, imports=imports)
    if name == "dask" or "://" in name:
        from auditor.executors.cluster import DaskExecutor

        return DaskExecutor(None if name == "dask" else name, count, versions)
    raise InputError(
        f"--executor {name}: expected processes, serial, dask or the address of a scheduler (tcp://host:port)"
    )
