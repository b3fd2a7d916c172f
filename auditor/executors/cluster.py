"""Items on a Dask cluster: each worker runs them in processes of its own, which an item may end or hang."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from auditor.errors import InputError
from auditor.executors.lanes import Lane, hidden_script
from auditor.executors.outcomes import AHEAD, Outcome, Shipping, alike, unlimited

__all__ = ["DaskExecutor"]

_IN_HAND = 2
"""Items that a worker's thread has, the one that it runs among them."""
_KEPT_BYTES = 512 * 2**20
_ALONE_S = 30.0
"""How long a cluster may have no worker before it is given up."""


class DaskExecutor:
    """A Dask cluster by the address of its scheduler, or None for one on this machine, of `jobs` workers."""

    def __init__(self, address: str | None, jobs: int, versions: Callable[[], dict[str, str]]) -> None:
        """`versions` tells those of the packages that must be the same everywhere.

        Raises:
            InputError: Dask is not installed, nothing answers, no worker is there, or one has other versions than this
                process.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError('--executor dask needs the extra: pip install "tflite-auditor[dask]"') from error
        self._name = f"--executor {address or 'dask'}"
        logging.getLogger("distributed").setLevel(logging.ERROR)  # what befalls a worker is told as an outcome
        try:
            with hidden_script():
                self._client = (
                    Client(address, timeout=10)
                    if address
                    else Client(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
                )
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(f"{self._name}: no Dask scheduler answers there ({error})") from error
        self._tell, self._versions = versions, versions()
        self._known = 0
        self._sent: dict[Path, tuple[int, Any]] = {}
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        from distributed import TimeoutError as NotYet

        try:
            self._client.wait_for_workers(1, timeout=_ALONE_S)
        except NotYet as error:
            raise InputError(f"{self._name}: no worker has come within {_ALONE_S:g} s; start some") from error
        try:
            there = {f"worker {name}": found for name, found in self._client.run(self._tell).items()}
            there["scheduler"] = self._client.run_on_scheduler(self._tell)
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"{self._name}: the scheduler and every worker need the auditor installed, as here ({error})"
            ) from error
        problems = []
        for program, found in there.items():
            other = [name for name, mine in self._versions.items() if found[name] != mine]
            if other:
                theirs, ours = (", ".join(f"{name} {of[name]}" for name in other) for of in (found, self._versions))
                problems.append(
                    f"{self._name}: the {program} has {theirs}, this machine has {ours}; only the same versions "
                    "give the same bits: install these there"
                )
        if problems:
            raise InputError(problems)

    @property
    def jobs(self) -> int:
        """The threads of all workers that are there now."""
        return max(1, self._threads())

    def _threads(self) -> int:
        if self._client.status == "running":
            self._known = sum(
                worker["nthreads"] for worker in self._client.scheduler_info(n_workers=-1)["workers"].values()
            )
        return self._known

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
        running: dict[Any, Any] = {}
        lonely: float | None = None
        while True:
            threads = self._threads()
            for item in itertools.islice(source, max(0, min(ahead + threads, _IN_HAND * threads) - len(running))):
                running[self._submit(function, item, timeout_s(item), shipping)] = item
            if not running and threads:
                return
            for future in self._done(running):
                item = running.pop(future)
                yield self._outcome(future, item)
                future.release()
            lonely = None if threads else lonely or time.monotonic()
            if lonely is not None and time.monotonic() - lonely > _ALONE_S:
                raise InputError(
                    f"{self._name}: it has had no worker for {_ALONE_S:g} s. What is complete is kept: start workers, "
                    "and the same command continues"
                )

    def _done(self, running: Mapping[Any, Any]) -> list[Any]:
        """Those that are done, after a second at most."""
        from distributed import TimeoutError as NotYet
        from distributed import wait

        try:
            if running:
                wait(list(running), timeout=1.0, return_when="FIRST_COMPLETED")
            else:
                time.sleep(1.0)
        except NotYet:
            return []
        return [future for future in running if future.done()]

    def _submit(
        self, function: Callable[[Any], Any], item: Any, limit_s: float | None, shipping: Shipping | None
    ) -> Any:
        files = {} if shipping is None else {path: self._content(path) for path in shipping.files(item)}
        task = _Task(function, item, limit_s, self._tell, self._versions, shipping)
        names = [str(path) for path in files]
        return self._client.submit(_on_worker, task, names, list(files.values()), pure=False, retries=0)

    def _content(self, path: Path) -> Any:
        """What is in a file, on the cluster; the files that were sent last stay there."""
        if path not in self._sent:
            content = path.read_bytes()
            self._sent[path] = len(content), self._client.scatter(content, hash=False)
            while len(self._sent) > 1 and sum(size for size, _ in self._sent.values()) > _KEPT_BYTES:
                del self._sent[next(iter(self._sent))]
        return self._sent[path][1]

    def _outcome(self, future: Any, item: Any) -> Outcome:
        if future.status == "finished":
            outcome: Outcome = future.result()
            return dataclasses.replace(outcome, item=item)
        return Outcome(item, error=f"Dask lost this: {future.exception()}", died=True)

    def sees(self, paths: Sequence[Path]) -> bool:
        """Whether every worker that is there now sees them, the same as here."""
        mine = _sizes([str(path) for path in paths])
        return all(found == mine for found in self._client.run(_sizes, [str(path) for path in paths]).values())

    def close(self, *, wait: bool = True) -> None:
        self._sent = {}
        cluster = getattr(self._client, "cluster", None)
        self._client.close()
        if cluster is not None:
            cluster.close()

    def kill(self) -> None:
        self.close()


@dataclasses.dataclass(frozen=True)
class _Task:
    """What a worker is to do, with the versions that it must have."""

    function: Callable[[Any], Any]
    item: Any
    limit_s: float | None
    tell: Callable[[], dict[str, str]]
    versions: Mapping[str, str]
    shipping: Shipping | None


_lanes = threading.local()


def _on_worker(task: _Task, names: Sequence[str], contents: Sequence[bytes]) -> Outcome:
    """Run an item in a process beside this worker's thread, so that what ends or hangs it costs this item alone."""
    found = task.tell()
    if found != task.versions:
        return Outcome(None, error=f"the Dask worker has other versions: {found}, expected {dict(task.versions)}")
    item = task.item
    if task.shipping is not None:
        places = {Path(name): _put(Path(name), content) for name, content in zip(names, contents, strict=True)}
        item = task.shipping.moved(item, places)
    if not hasattr(_lanes, "own"):
        _lanes.own = Lane()
    outcome: Outcome = _lanes.own.run(task.function, item, timeout_s=task.limit_s)
    return dataclasses.replace(outcome, item=None)  # whoever asked has it


def _put(name: Path, content: bytes) -> Path:
    """Keep a file that was sent under its content's hash; return where."""
    digest = hashlib.sha256(content).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"auditor-{os.getuid()}-{digest[:32]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / name.name
    if not path.exists():
        part = folder / f".{name.name}.{os.getpid()}.{threading.get_ident()}"
        part.write_bytes(content)
        part.replace(path)
    return path


def _sizes(paths: Sequence[str]) -> list[int | None]:
    """How large each file is, -1 for a folder, None where there is nothing."""
    return [(-1 if path.is_dir() else path.stat().st_size) if path.exists() else None for path in map(Path, paths)]
