"""What a run survives: any end of it or of a worker, Ctrl-C, a full disk, damaged parts, another run, a hanging model.

`AUDITOR_LONG=1` ends an audit at thirty moments; else at a few.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import write_project
from made_graphs import hangs_on_bright

from auditor import store
from auditor.cli import main
from auditor.errors import StoreError
from auditor.run import load_run, run_audit
from auditor.store import has_unit, load_json

pytestmark = pytest.mark.slow

MOMENTS = 30 if os.environ.get("AUDITOR_LONG") else 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A project, what its audit finds undisturbed, and how long that takes."""
    project = write_project(tmp_path_factory.mktemp("whole"))
    begin = time.monotonic()
    assert finished_well(started(project, "undisturbed"))
    return project, load_run(project / "undisturbed")[0].cells, time.monotonic() - begin


def started(project: Path, out: str, *more: str, **options) -> subprocess.Popen:
    """A run, with Ctrl-C as in a terminal: what a shell starts in the background ignores it, and so do its children."""
    command = [sys.executable, "-m", "auditor", "run", str(project / "audit.yaml"), "-o", str(project / out), "-j", "2"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True, start_new_session=True, **options)
    finally:
        signal.signal(signal.SIGINT, before)


def finished_well(process: subprocess.Popen) -> bool:
    process.communicate(timeout=120)
    return process.returncode == 0


def workers_of(pid: int) -> list[int]:
    """The worker processes of a run; multiprocessing's own helper is none."""
    with contextlib.suppress(OSError):
        every = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in every if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return []


def ended(pid: int, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def complete(folder: Path) -> dict[str, int]:
    """The units that are complete, with when they were written."""
    places = (folder / "measurements").glob("[!.]*.parquet") if folder.exists() else ()
    return {path.stem: path.stat().st_mtime_ns for path in places if has_unit(folder, path.stem)}


def test_killed_at_any_moment_it_goes_on_and_finds_the_same(whole):
    """The main process or a worker, at random moments of one audit, until it is through."""
    project, cells, seconds = whole
    rng = random.Random(7)
    for moment in range(MOMENTS):
        out = f"killed{moment}"
        kept: dict[str, int] = {}
        for attempt in range(4):
            process = started(project, out)
            if attempt < 3:
                time.sleep(rng.uniform(0.3, max(0.5, seconds - 0.5)))
                workers = workers_of(process.pid)
                victim = rng.choice([process.pid, *workers])
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
            _, told = process.communicate(timeout=120)
            unborn = process.returncode == -signal.SIGKILL and "in spawn_main" in told  # it lost its parent at birth
            assert "Traceback" not in told or unborn, told
            now = complete(project / out)
            assert {key: now.get(key) for key in kept} == kept, "a unit that was complete was measured again"
            kept = now
            if process.returncode == 0:
                break
        assert process.returncode == 0, told
        assert load_run(project / out)[0].cells == cells
        assert all(map(ended, workers)), "a worker outlived its run"


@pytest.mark.parametrize("share", [0.5, *(pytest.param(part, marks=pytest.mark.long) for part in (0.15, 0.85))])
def test_ctrl_c_stops_within_three_seconds_and_says_how_to_go_on(whole, share):
    """The least of three tries, since other tests keep the cores busy."""
    project, cells, seconds = whole
    for attempt in range(3):
        out = f"stopped{share}{attempt}"
        process = started(project, out)
        time.sleep(share * seconds)
        workers = workers_of(process.pid)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        _, told = process.communicate(timeout=30)
        took = time.monotonic() - begin
        if "PASSED: " in told:  # it was through already
            return
        assert process.returncode == 130, told
        assert "Traceback" not in told
        assert "the same command continues" in told
        assert all(ended(worker) for worker in workers)
        if took < 3:
            break
    assert took < 3
    assert finished_well(started(project, out))
    assert load_run(project / out)[0].cells == cells


INTERRUPTED_WHILE_IT_STARTS_A_WORKER = """
import multiprocessing.util, os, signal, threading, time
from auditor.executors.lanes import Lane

resting = threading.Thread(target=time.sleep, args=(60,), daemon=True)  # as the lanes of others: it may get the signal
resting.start()
start, early = multiprocessing.util.spawnv_passfds, []

def started(*arguments):
    child = start(*arguments)
    if b"multiprocessing.spawn" in b" ".join(map(os.fsencode, arguments[1])):
        early.append(child)
        signal.pthread_kill(resting.ident, signal.{name})
        time.sleep(0.2)
    return child

multiprocessing.util.spawnv_passfds = started
signal.signal(signal.{name}, signal.default_int_handler)
try:
    Lane().run(abs, -1, timeout_s=30)
except KeyboardInterrupt:
    print("interrupted after", len(early), flush=True)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_worker_that_is_being_started_when_its_run_is_stopped_ends_without_a_traceback(tmp_path, name):
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED_WHILE_IT_STARTS_A_WORKER.replace("{name}", name))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted after 1\n", "")


def test_the_exit_code_is_130_wherever_ctrl_c_came(tmp_path):
    (tmp_path / "script.py").write_text(
        "from auditor.cli import main\n"
        "main.commands['docs'].callback = lambda **_: exec('raise KeyboardInterrupt')\n"
        "main(['docs'])\n"
    )
    command = [sys.executable, "-m", "script"]  # only then can Python end by the signal
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (130, "interrupted; what was not complete is lost\n")


def test_what_a_result_refers_to_is_on_the_disk_before_it(project, monkeypatch):
    """Every file is synced before its rename, and its folder after; the result is the last of all that it refers to."""
    events: list[tuple[str, str]] = []
    sync, replace = store._to_disk, Path.replace

    def synced(path: Path) -> None:
        events.append(("sync", path.name))
        sync(path)

    def replaced(self: Path, target: Path) -> Path:
        assert ("sync", self.name) in events, f"{self.name} was not on the disk"
        events.append(("rename", target.name))
        return replace(self, target)

    monkeypatch.setattr(store, "_to_disk", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    names = [name for kind, name in events if kind == "rename"]
    units = [index for index, name in enumerate(names) if name.endswith(".parquet") and name != "samples.parquet"]
    assert len(units) == 6
    assert max(units) < names.index("result.json") < names.index("report.html")
    measured = [i for i, event in enumerate(events) if event[1].endswith(".parquet") and event[1] != "samples.parquet"]
    last = max(measured)
    assert ("sync", "measurements") in events[last : events.index(("rename", "result.json"))]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_what_is_complete_is_kept(project, small_disk):
    (small_disk / "filling").write_bytes(bytes(200_000))
    out = small_disk / "out"
    command = ["run", str(project / "audit.yaml"), "-o", str(out), "--executor", "serial", "-q"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2, done.output
    assert "No space left on device" in done.output
    assert "Traceback" not in done.output
    assert not list(out.rglob("*.tmp"))
    assert not (out / "result.json").exists()
    kept = complete(out)
    (small_disk / "filling").unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert CliRunner().invoke(main, command).exit_code == 0
    now = complete(out)
    assert {key: now[key] for key in kept} == kept


def test_a_folder_that_cannot_be_written(project, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = CliRunner().invoke(main, ["run", str(project / "audit.yaml"), "-o", str(small_disk / "out"), "-q"])
    assert done.exit_code == 2
    assert "cannot be written" in done.output
    assert "name another folder with --output" in done.output


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x55
    path.write_bytes(content)


def foreign(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1, 2, 3]}, metadata={"complete": "true"}), path)


def another(path: Path) -> None:
    others = [other for other in path.parent.glob("*.parquet") if other != path]
    shutil.copyfile(others[0], path)


@pytest.mark.parametrize("damage", [truncate, flip, foreign, lambda path: path.write_text("no"), another])
def test_a_damaged_unit_is_measured_again_and_no_other(finished, damage):
    folder = finished / "out"
    before = load_json(folder / "result.json")["cells"]
    first, *others = sorted((folder / "measurements").glob("*.parquet"))
    stamps = {path: path.stat().st_mtime_ns for path in others}
    damage(first)
    result = run_audit(finished / "audit.yaml", output=folder, executor="serial")
    assert {cell.status for cell in result.cells} == {"ok"}
    assert load_json(folder / "result.json")["cells"] == before
    assert {path: path.stat().st_mtime_ns for path in others} == stamps


def test_a_second_run_in_a_folder_is_refused_until_the_first_ends(whole):
    project, cells, _ = whole
    first = started(project, "twice")
    while not (project / "twice" / "measurements").exists():
        time.sleep(0.02)
    begin = time.monotonic()
    second = started(project, "twice")
    _, told = second.communicate(timeout=60)
    assert second.returncode == 2
    assert "another run writes into it" in told
    assert time.monotonic() - begin < 10
    assert finished_well(first)
    assert load_run(project / "twice")[0].cells == cells
    assert finished_well(started(project, "twice"))


def test_a_clock_that_is_set_back_changes_nothing(project, monkeypatch):
    class Back(dt.datetime):
        calls = 0

        @classmethod
        def now(cls, tz=None):
            cls.calls += 1
            return dt.datetime(2026, 1, 1, tzinfo=tz) - dt.timedelta(days=cls.calls)

    first = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    monkeypatch.setattr("auditor.run.composing.datetime", Back)
    monkeypatch.setattr("auditor.provenance.datetime", Back)
    ancient = time.time() - 10**8
    for path in (project / "out" / "measurements").iterdir():
        os.utime(path, (ancient, ancient))
    again = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert Back.calls >= 2
    assert again.cells == first.cells
    assert again.provenance.finished < again.provenance.started


def bright_and_dark(folder: Path) -> None:
    """Two classes of six images; one of each is bright."""
    for name in ("a", "b"):
        (folder / "data" / name).mkdir(parents=True)
        for number in range(6):
            value = 255 if number == 3 else 60 + 5 * number
            cv2.imwrite(str(folder / "data" / name / f"{number}.png"), np.full((2, 2, 3), value, np.uint8))


def test_a_model_that_hangs_is_stopped_and_costs_its_own_cells(tmp_path):
    bright_and_dark(tmp_path)
    hangs_on_bright(tmp_path / "hangs.tflite")
    (tmp_path / "audit.yaml").write_text(
        "name: hanging\ndataset: {format: folders, images: data}\nscenarios: [lighting/low_light]\nseverities: [5]\n"
        "models:\n"
        "  - {name: hangs, path: hangs.tflite, labels: labels.txt, input: {std: 255}}\n"
        "measure: {timeout: 2s, threads: []}\nchecks: {input_contract: false}\n"
    )
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    begin = time.monotonic()
    result = run_audit(tmp_path / "audit.yaml", output=tmp_path / "out", jobs=2)
    assert time.monotonic() - begin < 60
    cells = {cell.scenario: cell for cell in result.cells}
    assert cells["clean"].status == "failed"
    assert "nothing came back within the 2 s that `timeout:` allows" in cells["clean"].error
    assert result.verdict == "incomplete"


def test_a_store_that_cannot_be_read_says_what_to_do(finished):
    unit = next((finished / "out" / "measurements").glob("*.parquet"))
    key = unit.stem
    flip(unit)
    with pytest.raises(StoreError, match="delete it, and the same command measures it again"):
        groups = list(store.load_predictions(finished / "out", [key], file="detector", delegate="xnnpack", severity=0))
        assert not groups
        list(store.load_predictions(finished / "out", [key], file="detector", delegate="xnnpack", severity=1))
        list(store.load_predictions(finished / "out", [key], file="detector", delegate="xnnpack", severity=5))
