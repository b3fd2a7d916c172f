"""`auditor run --dry-run`: what a run will take, and nothing is written."""

from __future__ import annotations

import re

from click.testing import CliRunner

from auditor.cli import main
from auditor.run import estimate_run, run_audit


def test_a_dry_run_counts_what_the_run_does_and_writes_nothing(project):
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    output = project / "out"
    done = CliRunner().invoke(
        main, ["run", str(project / "audit.yaml"), "--dry-run", "-o", str(output), "--executor", "serial", "-q"]
    )
    assert done.exit_code == 0, done.output
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    assert re.search(r"^cells +5$", done.stdout, re.M)
    assert re.search(r"^inferences +50$", done.stdout, re.M)
    for told in ("disk", "memory", "time"):
        assert re.search(rf"^{told} +about", done.stdout, re.M)


def test_what_is_there_is_not_counted_as_work(project):
    audit, output = project / "audit.yaml", project / "out"
    fresh = estimate_run(audit, output=output, executor="serial")
    run_audit(audit, output=output, executor="serial")
    again = estimate_run(audit, output=output, executor="serial")
    assert (fresh.inferences, fresh.there, again.inferences, again.there) == (50, 0, 50, 50)
    assert again.seconds["measuring"] == 0 < fresh.seconds["measuring"]
    stored = sum(path.stat().st_size for path in (output / "measurements").iterdir())
    assert 0.5 * stored < fresh.disk_bytes - 2_000_000 < 2.5 * stored
    assert fresh.memory_bytes > 50e6
    assert fresh.processes == 1  # serial: this process alone


def test_levels_that_are_to_be_made_count(project):
    audit = project / "audit.yaml"
    text = audit.read_text().replace("labels: labels.txt}", "labels: labels.txt, quantize: {levels: [float16]}}")
    audit.write_text(text)
    found = estimate_run(audit, output=project / "out", executor="serial")
    assert (found.cells, found.inferences) == (10, 100)
    assert found.seconds["making levels"] > 0


def test_a_shard_is_estimated_alone_and_an_output_that_cannot_be_is_told(project):
    audit, output = project / "audit.yaml", project / "out"
    parts = [estimate_run(audit, output=output, executor="serial", shard=(number, 2)) for number in (1, 2)]
    assert sum(part.inferences for part in parts) == 50
    assert all(set(part.seconds) == {"starting", "measuring"} for part in parts)
    (project / "file").write_text("")
    for place in ("file", "/proc/nowhere"):
        done = CliRunner().invoke(main, ["run", str(audit), "--dry-run", "-o", str(project / place), "-q"])
        assert done.exit_code == 2, done.output
