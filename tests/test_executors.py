"""Serial, processes and Dask give the same outcomes; a death or a hang costs one item."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import wait

import pytest

from auditor.errors import InputError
from auditor.executors import lanes, open_executor, run_isolated


def square(number):
    return number * number


def moody(number):
    if number == 3:
        raise ValueError("three")
    if number == 5:
        os._exit(7)
    return os.getpid()


def patient(_item):
    time.sleep(0.15)
    return os.getpid()


def slow(number):
    time.sleep(number)
    return number


def collected(executor, function, items, **options):
    try:
        return {outcome.item: outcome for outcome in executor.map(function, items, **options)}
    finally:
        executor.close()


@pytest.mark.parametrize("name", ["serial", "processes"])
def test_every_item_has_its_outcome(name):
    outcomes = collected(open_executor(name, jobs=2), square, range(20))
    assert {item: outcome.result for item, outcome in outcomes.items()} == {number: number**2 for number in range(20)}


def test_a_worker_that_dies_costs_one_item():
    outcomes = collected(open_executor("processes", jobs=2), moody, range(10))
    assert "ValueError: three" in outcomes[3].error
    assert (outcomes[3].died, outcomes[5].died) == (False, True)
    assert all(outcome.error is None for item, outcome in outcomes.items() if item not in (3, 5))


def test_a_worker_that_ends_while_it_loads_is_replaced(tmp_path, monkeypatch):
    (tmp_path / "ends_its_process.py").write_text("import os\nos._exit(1)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    submitted = lanes._submitted

    def settled(pool, function, *arguments):
        future = submitted(pool, function, *arguments)
        if function is lanes._load:
            wait([future])
        return future

    monkeypatch.setattr(lanes, "_submitted", settled)
    executor = lanes.ProcessExecutor(2, imports=("ends_its_process", "json"))
    outcomes = collected(executor, square, range(4))
    assert [outcomes[number].result for number in range(4)] == [0, 1, 4, 9]


def test_items_of_one_affinity_share_a_worker():
    """Items of two affinities, mixed: taken in turn, each worker would have half of either."""
    items = [(affinity, number) for number, affinity in enumerate([0, 0, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1])]
    executor = open_executor("processes", jobs=2)
    assert len({outcome.result for outcome in executor.map(patient, [0, 1])}) == 2  # both workers are there
    outcomes = collected(executor, patient, items, affinity=lambda item: item[0])
    workers = []
    for affinity in (0, 1):
        pids = [outcome.result for item, outcome in outcomes.items() if item[0] == affinity]
        worker, count = Counter(pids).most_common(1)[0]
        assert count >= len(pids) - 1  # the last of them may go to a worker that has nothing else left
        workers.append(worker)
    assert workers[0] != workers[1]


def test_items_are_taken_only_as_they_are_needed():
    taken = []

    def source():
        for number in range(12):
            taken.append(number)
            yield number

    executor = open_executor("processes", jobs=1)
    try:
        running = executor.map(square, source(), ahead=1)
        next(running)
        assert len(taken) <= 3
        assert len(list(running)) == 11
    finally:
        executor.close()


def test_isolation_survives_death_and_hanging():
    first, second, third = run_isolated(slow, [0.01, 30, 0.02], timeout_s=6)
    assert (first.result, third.result) == (0.01, 0.02)
    assert second.died
    assert "within 6 s" in second.error
    assert [outcome.died for outcome in run_isolated(moody, [1, 5, 2], timeout_s=60)] == [False, True, False]


@pytest.mark.parametrize("name", ["threads", "tcp://127.0.0.1:1"])
def test_executors_that_cannot_be_had(name):
    with pytest.raises(InputError, match=name):
        open_executor(name, jobs=1)


SCRIPT = """\
from pathlib import Path
from auditor import run_audit
result = run_audit(Path("audit.yaml"), output=Path("out"), executor="{executor}", jobs=1)
print(result.verdict)
"""


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_script_needs_no_main_guard(project, executor):
    (project / "script.py").write_text(SCRIPT.format(executor=executor))
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=project, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "passed\n"), done.stderr
