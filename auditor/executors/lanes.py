"""Processes of this machine that run items: several at once with an executor, or one after the other in isolation."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from auditor.errors import StoreError
from auditor.executors.outcomes import AHEAD, Executor, Outcome, Shipping, alike, attempt, unlimited

__all__ = ["Lane", "ProcessExecutor", "each_isolated", "hidden_script", "isolated", "run_isolated"]


class ProcessExecutor:
    """`jobs` lanes, each a pool of one spawned process: a death is then that of one known item."""

    def __init__(self, jobs: int, *, imports: Sequence[str] = ()) -> None:
        """`imports` are modules that the workers load at once, while this process still does something else."""
        self.jobs = jobs
        self._lanes = [Lane() for _ in range(jobs)]
        for lane in self._lanes:
            with contextlib.suppress(BrokenProcessPool):  # killed while it loads; it is replaced when it has work
                for module in imports:
                    _submitted(lane.pool(), _load, module)

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        affinity: Callable[[Any], Any] = alike,
        ahead: int = AHEAD,
        timeout_s: Callable[[Any], float | None] = unlimited,
        shipping: Shipping | None = None,
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
                future = self._begun(lane, function, item)
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

    def sees(self, paths: Sequence[Path]) -> bool:
        """They are on this machine."""
        return True

    @property
    def lanes(self) -> Sequence[Lane]:
        """Its workers, for what comes before all items."""
        return self._lanes

    def close(self, *, wait: bool = True) -> None:
        for lane in self._lanes:
            lane.close(wait=wait)

    def kill(self) -> None:
        for lane in self._lanes:
            lane.kill()

    def _stopped(self, lane: int, item: Any) -> Outcome:
        self._lanes[lane].kill()
        return Outcome(item, error="the worker took too long over this, and was stopped", died=True)

    def _begun(self, lane: int, function: Callable[[Any], Any], item: Any) -> Future[Outcome]:
        """An item under way; a worker that ended while it had nothing to do is replaced."""
        try:
            return _submitted(self._lanes[lane].pool(), _alone, function, item)
        except BrokenProcessPool:
            self._lanes[lane].close(wait=False)
            return _submitted(self._lanes[lane].pool(), _alone, function, item)

    def _outcome(self, future: Future[Outcome], lane: int, item: Any) -> Outcome:
        try:
            return dataclasses.replace(future.result(), item=item)
        except BrokenProcessPool:
            self._lanes[lane].close(wait=False)
            return Outcome(item, error="the worker process ended while it ran this", died=True)
        except Exception:  # noqa: BLE001 (the result could not be sent back, for whatever reason: that is the outcome)
            return Outcome(item, error=traceback.format_exc())


@contextlib.contextmanager
def isolated(executor: Executor) -> Iterator[Sequence[Lane]]:
    """Processes beside this one for what could end or hang it: the workers of `executor`, where those are processes of
    this machine, else one that is stopped after use."""
    if isinstance(executor, ProcessExecutor):
        yield executor.lanes
        return
    lane = Lane()
    try:
        yield [lane]
    finally:
        lane.close(wait=False)


def run_isolated(
    function: Callable[[Any], Any], items: Sequence[Any], *, timeout_s: float, lanes: Sequence[Lane] = ()
) -> list[Outcome]:
    """Run `function` over items in spawned processes, the outcomes in order; an item that kills or hangs one costs only
    itself. One process of its own, or those of `lanes`, several items at once, which stay open."""
    if not lanes:
        return list(each_isolated(function, items, timeout_s=timeout_s))
    free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
    for lane in lanes:
        free.put(lane)

    def run(item: Any) -> Outcome:
        lane = free.get()
        try:
            return lane.run(function, item, timeout_s=timeout_s)
        finally:
            free.put(lane)

    threads = ThreadPoolExecutor(len(lanes))
    try:
        return list(threads.map(run, items))
    except BaseException:  # interrupted: what they do is of no use any more
        threads.shutdown(wait=False, cancel_futures=True)
        for lane in lanes:
            lane.kill()
        raise
    finally:
        threads.shutdown()


def each_isolated(function: Callable[[Any], Any], items: Iterable[Any], *, timeout_s: float) -> Iterator[Outcome]:
    """As `run_isolated`, one outcome after the other; an item is taken when its turn comes."""
    lane = Lane()
    try:
        for item in items:
            yield lane.run(function, item, timeout_s=timeout_s)
    finally:
        lane.close()


class Lane:
    """One spawned process that runs one item at a time, and is replaced when an item kills or hangs it."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def pool(self) -> ProcessPoolExecutor:
        """Its process, which is started where there is none."""
        if self._pool is None:
            self._pool = _spawned_pool()
        return self._pool

    def run(self, function: Callable[[Any], Any], item: Any, *, timeout_s: float | None) -> Outcome:
        """Run a function over an item."""
        pool = self.pool()
        try:
            future = _submitted(pool, _alone, function, item)
        except BrokenProcessPool:  # it ended while it had nothing to do
            self._pool = None
            pool = self.pool()
            future = _submitted(pool, _alone, function, item)
        processes = list((pool._processes or {}).values())
        try:
            outcome: Outcome = future.result(timeout=timeout_s)
            return dataclasses.replace(outcome, item=item)
        except BrokenProcessPool:
            self._pool = None
            return Outcome(item, error=f"it ended its process{_ending(processes)}", died=True)
        except TimeoutError:
            self._pool = None
            _kill(pool)
            return Outcome(item, error=f"nothing came back within {timeout_s:g} s, and it was stopped", died=True)
        except Exception:  # noqa: BLE001 (it could not be sent there or back, for whatever reason)
            return Outcome(item, error=traceback.format_exc())
        except BaseException:  # interrupted: what it does is of no use any more
            self._pool = None
            _kill(pool)
            raise

    def close(self, *, wait: bool = True) -> None:
        """End the process; without `wait` it ends on its own."""
        if self._pool is not None:
            self._pool.shutdown(wait=wait, cancel_futures=True)
            self._pool = None

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        if self._pool is not None:
            _kill(self._pool)
            self._pool = None


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


_ONE_THREAD = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
    "RAYON_NUM_THREADS",
)
"""Read by numpy, OpenCV and hotcoco as they are loaded: a worker has one core, and threads of several would fight over
it."""


def _spawned_pool() -> ProcessPoolExecutor:
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]  # as Dask's nannies make
    # their workers; a daemon may have no children, for fear that they outlive it, which ours do not
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
    try:
        with _uninterrupted(), hidden_script():
            return pool.submit(function, *arguments)
    except BrokenPipeError as error:  # not that of whoever reads what a command prints
        raise StoreError(f"a worker process could not be started ({error}); --executor serial needs none") from error


@contextlib.contextmanager
def hidden_script() -> Iterator[None]:
    """While processes are started that need nothing of the script that this one runs."""
    with _starting:
        script = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        # A process that is being started leaves Ctrl-C to this one from its first moment on.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            sys.modules["__main__"] = script
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """What would stop this process waits until a process that it starts has been told what to do, which takes some
    milliseconds: one that is left without ends in a traceback. Only the main thread is interrupted, by a signal that
    any other thread may have received."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handled = {number: handler for number, handler in before.items() if callable(handler)}
    for number in handled:
        signal.signal(number, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
        for late in arrived:
            signal.raise_signal(late)


def _alone(function: Callable[[Any], Any], item: Any) -> Outcome:
    """Run a function over an item, which whoever sent it has."""
    return dataclasses.replace(attempt(function, item), item=None)


def _load(module: str) -> None:
    importlib.import_module(module)


def _follow_parent(parent: int) -> None:
    """Leave Ctrl-C to the parent, which stops its workers in order, and end when it was killed and cannot."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

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
