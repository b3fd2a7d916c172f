"""An audit on a Dask cluster of separate programs: the same bits; workers come late, die, or see none of our files."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import write_project

from auditor.errors import InputError
from auditor.executors import open_executor
from auditor.executors.cluster import DaskExecutor
from auditor.provenance import same_versions
from auditor.run import load_run, run_audit

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


class Cluster:
    """A scheduler and workers, each a program of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / "scheduler.json"
        self._programs: list[subprocess.Popen] = []
        self._start("dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(self._file))
        while not self._file.exists() or not self._file.read_text():
            time.sleep(0.05)
        self.address = json.loads(self._file.read_text())["address"]

    def worker(self) -> subprocess.Popen:
        place = self._folder / f"worker{len(self._programs)}"
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(place)]
        return self._start("dask_worker", self.address, *options)

    def _start(self, program: str, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.{program}", *options]
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        nowhere = subprocess.DEVNULL
        started = subprocess.Popen(command, stdout=nowhere, stderr=nowhere, cwd=self._folder, env=environment)
        self._programs.append(started)
        return started

    def close(self) -> None:
        for program in self._programs[::-1]:
            program.kill()
            program.wait()


@pytest.fixture
def cluster(tmp_path_factory):
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """A project, and what its audit finds on processes of this machine."""
    project = write_project(tmp_path_factory.mktemp("single"))
    return project, run_audit(project / "audit.yaml", output=project / "out", jobs=2).cells


def test_separate_programs_give_the_same_bits_one_joining_late_and_one_killed(single, cluster, tmp_path):
    """The first worker ends when the first unit is there; the second comes when the run has long begun."""
    project, cells = single
    first = cluster.worker()
    measured = tmp_path / "dask" / "measurements"

    def replace() -> None:
        cluster.worker()
        while not list(measured.glob("[!.]*.parquet")):
            time.sleep(0.01)
        first.kill()

    helper = threading.Thread(target=replace)
    helper.start()
    result = run_audit(project / "audit.yaml", output=tmp_path / "dask", executor=cluster.address)
    helper.join()
    assert first.wait() == -signal.SIGKILL
    assert result.cells == cells
    assert load_run(tmp_path / "dask")[0].cells == cells


def test_workers_that_see_none_of_our_files_are_sent_them(single, cluster, tmp_path, monkeypatch):
    project, cells = single
    cluster.worker()
    moved = tmp_path / "moved"
    project.rename(moved)
    try:
        monkeypatch.setattr(DaskExecutor, "sees", lambda self, paths: False)
        result = run_audit(moved / "audit.yaml", output=tmp_path / "dask", executor=cluster.address)
        executor = open_executor(cluster.address, jobs=None)
        (outcome,) = executor.map(str, [1], shipping=None)
        executor.close()
    finally:
        moved.rename(project)
    assert outcome.result == "1"
    assert result.cells == cells


def end_process(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 3:
        time.sleep(60)
    return number


def test_what_ends_or_hangs_its_process_costs_itself_and_no_worker(cluster):
    worker = cluster.worker()
    executor = open_executor(cluster.address, jobs=None)
    try:
        outcomes = {outcome.item: outcome for outcome in executor.map(end_process, range(5), timeout_s=lambda _: 8.0)}
    finally:
        executor.close()
    assert worker.poll() is None
    assert [outcomes[number].result for number in range(5)] == [0, 1, None, None, 4]
    assert [outcomes[number].died for number in range(5)] == [False, False, True, True, False]
    assert "SIGKILL" in outcomes[2].error
    assert "within 8 s" in outcomes[3].error


def test_a_worker_with_other_versions_is_refused(cluster, monkeypatch):
    cluster.worker()
    real = importlib.metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0.1" if name == "numpy" else real(name))
    with pytest.raises(InputError, match=r"has numpy .*, this machine has numpy 0\.0\.1; only the same versions"):
        open_executor(cluster.address, jobs=None, versions=same_versions)


def test_a_cluster_without_workers_ends_in_words(cluster, monkeypatch):
    monkeypatch.setattr("auditor.executors.cluster._ALONE_S", 1.0)
    with pytest.raises(InputError, match="no worker has come within 1 s; start some"):
        open_executor(cluster.address, jobs=None)
