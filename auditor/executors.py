"""Run a function over items and yield each outcome as it completes: in this process, in worker processes, or on Dask.

An item that raises gives an outcome with the traceback; a worker that dies or outlives its time gives an outcome too
and is replaced, so one item never costs another.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol

from auditor.errors import InputError

__all__ = [
    "DaskExecutor",
    "Executor",
    "Outcome",
    "ProcessExecutor",
    "SerialExecutor",
    "each_isolated",
    "open_executor",
    "run_isolated",
]


AHEAD = 1024
"""How many small items may wait in memory."""


def _alike(item: Any) -> None:
    """The affinity of items that share nothing."""


@dataclass(frozen=True)
class Outcome:
    """What became of `item`: a `result`, or an `error` text; `died` when the worker did not survive it."""

    item: Any
    result: Any = None
    error: str | None = None
    died: bool = False


def _unlimited(_: Any) -> float | None:
    """The time limit of items that have none."""
    return None


class Executor(Protocol):
    """Runs a picklable function over picklable items."""

    jobs: int

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        affinity: Callable[[Any], Any] = ...,
        ahead: int = ...,
        timeout_s: Callable[[Any], float | None] = ...,
    ) -> Iterator[Outcome]:
        """Yield the outcome of every item in the order of completion; items of one `affinity` share a worker while
        others are left for the rest, so that a worker's caches are of use. At most `ahead` items are taken from
        `items` before they run, so that large ones need not all be in memory. A worker that takes longer over an item
        than `timeout_s` of it is stopped, where the executor can; that is an outcome that `died`."""

    def close(self, *, wait: bool = True) -> None:
        """Stop the workers; without `wait` they end on their own, and another call waits for them."""

    def kill(self) -> None:
        """End the workers at once, whatever they do."""


class SerialExecutor:
    """Everything in this process, in order."""

    jobs = 1

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        affinity: Callable[[Any], Any] = _alike,
        ahead: int = AHEAD,
        timeout_s: Callable[[Any], float | None] = _unlimited,
    ) -> Iterator[Outcome]:
        for item in items:
            yield _attempt(function, item)

    def close(self, *, wait: bool = True) -> None:
        """Nothing to stop."""

    def kill(self) -> None:
        """Nothing to end."""


class ProcessExecutor:
    """`jobs` lanes, each a pool of one spawned process: a death is then that of one known item."""

    def __init__(self, jobs: int, *, imports: Sequence[str] = ()) -> None:
        """`imports` are modules that the workers load at once, while this process still does something else."""
        self.jobs = jobs
        self._lanes: list[ProcessPoolExecutor | None] = [None] * jobs
        for lane in range(jobs if imports else 0):
            for module in imports:
                _submitted(self._pool(lane), _load, module)

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        affinity: Callable[[Any], Any] = _alike,
        ahead: int = AHEAD,
        timeout_s: Callable[[Any], float | None] = _unlimited,
    ) -> Iterator[Outcome]:
        source = iter(items)
        queues: dict[Any, list[Any]] = {}
        last: dict[int, Any] = {}
        running: dict[Future[Outcome], tuple[int, Any]] = {}
        limits: dict[Future[Outcome], float] = {}
        idle = list(range(self.jobs))
        while True:
            for item in itertools.islice(source, max(0, ahead - sum(map(len, queues.values())))):
                queues.setdefault(affinity(item), []).append(item)
            if not queues and not running:
                return
            while idle and queues:
                lane = idle.pop()
                busy = {last.get(other) for other, _ in running.values()}
                key = _choose(queues, last.get(lane, _NOTHING), busy)
                item = queues[key].pop(0)
                if not queues[key]:
                    del queues[key]
                last[lane] = key
                future = _submitted(self._pool(lane), _attempt, function, item)
                running[future] = (lane, item)
                limit = timeout_s(item)
                if limit is not None:
                    limits[future] = time.monotonic() + limit
            done = wait(running, timeout=1.0 if limits else None, return_when=FIRST_COMPLETED).done
            late = [future for future, end in limits.items() if future not in done and time.monotonic() > end]
            for future in [*done, *late]:
                lane, item = running.pop(future)
                idle.append(lane)
                limits.pop(future, None)
                yield self._stopped(lane, item) if future in late else self._outcome(future, lane, item)

    def close(self, *, wait: bool = True) -> None:
        for pool in self._lanes:
            if pool is not None:
                pool.shutdown(wait=wait, cancel_futures=True)
        if wait:
            self._lanes = [None] * self.jobs

    def kill(self) -> None:
        for pool in self._lanes:
            if pool is not None:
                _kill(pool)
        self._lanes = [None] * self.jobs

    def _stopped(self, lane: int, item: Any) -> Outcome:
        pool, self._lanes[lane] = self._lanes[lane], None
        if pool is not None:
            _kill(pool)
        return Outcome(item, error="the worker took too long over this, and was stopped", died=True)

    def _pool(self, lane: int) -> ProcessPoolExecutor:
        pool = self._lanes[lane]
        if pool is None:
            pool = self._lanes[lane] = _spawned_pool()
        return pool

    def _outcome(self, future: Future[Outcome], lane: int, item: Any) -> Outcome:
        try:
            return future.result()
        except BrokenProcessPool:
            self._lanes[lane] = None
            return Outcome(item, error="the worker process ended while it ran this", died=True)
        except Exception:  # noqa: BLE001 (the result could not be sent back, for whatever reason: that is the outcome)
            return Outcome(item, error=traceback.format_exc())


class DaskExecutor:
    """A Dask cluster by the address of its scheduler, or `dask` for one on this machine."""

    def __init__(self, address: str | None, jobs: int) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError('--executor dask needs the extra: pip install "tflite-auditor[dask]"') from error
        try:
            self._client = (
                Client(address, timeout=10)
                if address
                else Client(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(f"--executor {address}: no Dask scheduler answers there ({error})") from error
        self.jobs = max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        affinity: Callable[[Any], Any] = _alike,
        ahead: int = AHEAD,
        timeout_s: Callable[[Any], float | None] = _unlimited,
    ) -> Iterator[Outcome]:
        from distributed import as_completed

        source = iter(items)
        most = min(ahead, 4 * self.jobs)
        futures = {self._submit(function, item): item for item in itertools.islice(source, most)}
        completed = as_completed(futures)
        for future in completed:
            item = futures.pop(future)
            for more in itertools.islice(source, 1):
                added = self._submit(function, more)
                futures[added] = more
                completed.add(added)
            if future.status == "finished":
                yield future.result()
            else:
                yield Outcome(item, error=f"Dask lost this: {future.exception()}", died=True)
            future.release()

    def _submit(self, function: Callable[[Any], Any], item: Any) -> Any:
        return self._client.submit(_attempt, function, item, pure=False, retries=0)

    def close(self, *, wait: bool = True) -> None:
        if not wait:
            return
        self._client.close()
        cluster = getattr(self._client, "cluster", None)
        if cluster is not None:
            cluster.close()

    def kill(self) -> None:
        self.close()


def open_executor(name: str, *, jobs: int | None, imports: Sequence[str] = ()) -> Executor:
    """Open the executor `name`: `processes`, `serial`, `dask` or the address of a Dask scheduler.

    `jobs` defaults to the cores that this process may use; worker processes load the modules `imports` at once.
    """
    count = jobs or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if name == "serial":
        return SerialExecutor()
    if name == "processes":
        return ProcessExecutor(count, imports=imports)
    if name == "dask":
        return DaskExecutor(None, count)
    if "://" in name:
        return DaskExecutor(name, count)
    raise InputError(
        f"--executor {name}: expected processes, serial, dask or the address of a scheduler (tcp://host:port)"
    )


def run_isolated(function: Callable[[Any], Any], items: Sequence[Any], *, timeout_s: float) -> list[Outcome]:
    """Run `function` over items in one spawned process, in order; an item that kills or hangs it costs only itself."""
    return list(each_isolated(function, items, timeout_s=timeout_s))


def each_isolated(function: Callable[[Any], Any], items: Iterable[Any], *, timeout_s: float) -> Iterator[Outcome]:
    """As `run_isolated`, one outcome after the other; an item is taken when its turn comes."""
    pool: ProcessPoolExecutor | None = None
    for item in items:
        pool = pool or _spawned_pool()
        future = _submitted(pool, _attempt, function, item)
        processes = list((pool._processes or {}).values())
        try:
            outcome = future.result(timeout=timeout_s)
        except BrokenProcessPool:
            outcome = Outcome(item, error=f"the runtime ended the process{_ending(processes)}", died=True)
            pool = None
        except TimeoutError:
            outcome = Outcome(item, error=f"nothing came back within {timeout_s:g} s, and it was stopped", died=True)
            _kill(pool)
            pool = None
        yield outcome
    if pool is not None:
        pool.shutdown()


def _ending(processes: Sequence[Any]) -> str:
    """How a process ended: by which signal, or with which exit code."""
    for process in processes:
        deadline = time.monotonic() + 2
        while process.exitcode is None and time.monotonic() < deadline:
            time.sleep(0.01)  # the pool's own thread waits for the process too, and one of the two is told
        code = process.exitcode
        if code is not None and code < 0:
            return f" (signal {signal.Signals(-code).name})"
        if code:
            return f" (exit code {code})"
    return ""


class _Nothing:
    """An affinity that equals no other."""


_NOTHING = _Nothing()


def _choose(queues: dict[Any, list[Any]], own: Any, busy: set[Any]) -> Any:
    """The lane's own affinity while it has items, else one that no other lane works on, else the longest queue."""
    if own in queues:
        return own
    free = [key for key in queues if key not in busy]
    return free[0] if free else max(queues, key=lambda key: len(queues[key]))


_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
"""Read by numpy and OpenCV as they are loaded: a worker has one core, and threads of several would fight over it."""


def _spawned_pool() -> ProcessPoolExecutor:
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")
    return ProcessPoolExecutor(
        max_workers=1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_follow_parent,
        initargs=(os.getpid(),),
    )


_starting = threading.Lock()


def _submitted(pool: ProcessPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Submit work to a pool, whose process may start here. A spawned process runs the script of its parent again, to
    find what the script defines; ours needs nothing of it, so it is told of none: a script without a main guard
    works."""
    with _starting:
        script = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            return pool.submit(function, *arguments)
        finally:
            sys.modules["__main__"] = script


def _load(module: str) -> None:
    importlib.import_module(module)


def _follow_parent(parent: int) -> None:
    """Leave Ctrl-C to the parent, which stops its workers in order, and end when it was killed and cannot."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _kill(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


def _attempt(function: Callable[[Any], Any], item: Any) -> Outcome:
    try:
        return Outcome(item, result=function(item))
    except Exception:  # noqa: BLE001 (whatever an item raises is its outcome)
        return Outcome(item, error=traceback.format_exc())
