"""Nobody waits in silence: a stage, what of it is done, and an honest time left, on a terminal and in a pipe."""

from __future__ import annotations

import itertools
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest

from auditor.terminal import BarProgress, duration

pytestmark = pytest.mark.slow

MOST_S = 5.0
SECONDS = {"s": 1, "min": 60, "h": 3600}


def command(*arguments):
    return [sys.executable, "-m", "auditor", *map(str, arguments)]


def longer(project):
    """An audit of half a minute: many scenarios, and a comparison of inputs."""
    text = (project / "audit.yaml").read_text()
    for old, new in (
        ("[lighting/low_light, noise/gaussian]", "[lighting, resolution, noise]"),
        ("severities: [1, 5]", "severities: [1, 2, 3, 4, 5]"),
        ("checks: {input_contract: false}", "checks: {input_contract: {images: 10}}"),
        ("measure: {threads: []}", "measure: {threads: [1], sustained: 8s}"),
    ):
        assert old in text
        text = text.replace(old, new)
    (project / "audit.yaml").write_text(text)
    return project


def heard(stream, process):
    """What comes of a stream, each piece with the second at which it came."""
    start, pieces = time.monotonic(), []
    while True:
        ready, _, _ = select.select([stream], [], [], 30)
        assert ready, f"nothing for 30 s, after {pieces[-1:]}"
        try:
            piece = os.read(stream, 65536)
        except OSError:  # a pseudo-terminal whose other end is gone
            piece = b""
        if not piece:
            process.wait(timeout=30)
            return pieces, time.monotonic() - start
        pieces.append((time.monotonic() - start, piece.decode(errors="replace")))


def longest_silence(pieces):
    """From the first word on: starting Python is not ours."""
    times = [at for at, _ in pieces]
    return max(later - earlier for earlier, later in itertools.pairwise(times))


def test_in_a_pipe_it_is_never_silent_and_the_time_left_is_honest(project):
    longer(project)
    run = command("run", project / "audit.yaml", "-o", project / "out")
    with subprocess.Popen(run, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        pieces, whole = heard(process.stderr.fileno(), process)
    assert process.returncode == 0
    assert longest_silence(pieces) < MOST_S
    text = "".join(piece for _, piece in pieces)
    for stage in ("measuring", "evaluating", "comparing inputs", "timing", "writing the report"):
        assert stage in text, text
    assert re.search(r"measuring: (\d+ of )?760 inferences.*, about", text), text
    assert re.search(r"evaluating: \d+ cells.*, about", text), text  # those that no measuring was left to hide
    told = [
        (at, int(number) * SECONDS[unit])
        for at, piece in pieces
        for number, unit in re.findall(r"about (\d+) (s|min|h) left", piece)
    ]
    early = [(at, left) for at, left in told if whole * 0.1 < at < whole * 0.7]
    assert early
    for at, left in early:  # what is left includes evaluation, speed (8 s here) and report
        assert 0.4 * (whole - at) - 3 < left < 2.5 * (whole - at) + 10, (at, left, whole)
    assert "a few seconds left" not in "".join(piece for at, piece in pieces if at < whole - 12)
    assert "units" not in text


@pytest.mark.long
def test_on_a_terminal_too(project):
    longer(project)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("run", project / "audit.yaml", "-o", project / "out"),
        stderr=theirs,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"},
    )
    os.close(theirs)
    pieces, _ = heard(ours, process)
    os.close(ours)
    assert process.returncode == 0
    assert longest_silence(pieces) < MOST_S
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", "".join(piece for _, piece in pieces))
    for stage in ("measuring", "evaluating", "comparing inputs", "timing"):
        assert stage in text
    assert re.search(r"\d+ of 760 inferences.*about \d+ s left", text)


def test_more_than_was_expected_is_not_so_many_of_fewer(monkeypatch, capsys):
    monkeypatch.setattr("auditor.terminal._SILENCE_S", 0.0)
    with BarProgress() as progress:
        progress.stage("finding breaking points", of=4, what="cells")
        for _ in range(6):
            progress.done()
        time.sleep(0.8)
    told = capsys.readouterr().err
    assert "finding breaking points: 6 cells" in told
    assert "6 of 4" not in told


def test_what_cannot_be_counted_is_told_all_the_same(monkeypatch, capsys):
    monkeypatch.setattr("auditor.terminal._SILENCE_S", 0.6)
    with BarProgress() as progress:
        progress.stage("opening the models", later=60)
        time.sleep(2.5)
        progress.stage("measuring", of=4, what="inferences", seconds=8, later=60)
        progress.done()
    said = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("opening the models: ") for line in said) >= 3
    assert "opening the models: done, 2 s" in said or "opening the models: done, 3 s" in said
    assert any(line.startswith("measuring: 4 inferences …, about 68 s left") for line in said)


def test_a_time_is_told_in_words_of_its_size():
    assert [duration(seconds) for seconds in (1, 59, 99, 101, 3599, 3700)] == [
        "a few seconds", "59 s", "99 s", "2 min", "1 h 0 min", "1 h 2 min",
    ]  # fmt: skip


def test_init_and_quantize_say_what_they_do(project):
    images = project / "images"
    done = subprocess.run(
        command("init", project / "detector.tflite", "--dataset", project, "-o", project / "first.yaml"),
        capture_output=True,
        text=True,
        check=True,
    )
    for said in (
        "trying the labels of the file",
        "measuring 15 scenarios at severity 3",
        "found out: 10 clean images: AP",
    ):
        assert said in done.stderr
    assert done.stdout.strip() == str(project / "first.yaml")
    made = command("quantize", project / "detector.tflite", "--levels", "int8", "--calibration", images, "-o", project)
    done = subprocess.run(made, capture_output=True, text=True, check=True)
    assert "making int8 of detector, calibrated on 10 images" in done.stderr


def test_what_is_there_already_is_told_in_words(finished):
    done = subprocess.run(
        command("run", finished / "audit.yaml", "-o", finished / "out"), capture_output=True, text=True, check=True
    )
    assert re.search(r"\d+ inferences are there already, in .*out, and are not done again", done.stderr)
    assert "unit" not in done.stderr
