"""An audit from Python, wherever that runs: a notebook's kernel, a thread, two at once in one process."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from auditor.run import run_audit

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")]

CELL = """\
from pathlib import Path
from auditor import run_audit
result = run_audit(Path("audit.yaml"), output=Path("notebook"), jobs=2)
print(result.verdict, len(result.cells))
"""


def test_in_a_notebook(project):
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", cwd=str(project), env=dict(os.environ))
    try:
        said: list[str] = []

        def hear(message):
            content = message["content"]
            said.append(content.get("text") or "\n".join(content.get("traceback", [])))

        reply = client.execute_interactive(CELL, timeout=120, output_hook=hear)
        assert reply["content"]["status"] == "ok", "".join(said)
        assert "passed 5" in "".join(said)
        again = client.execute_interactive(CELL, timeout=120, output_hook=hear)  # a cell is run twice
        assert again["content"]["status"] == "ok", "".join(said)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert (project / "notebook" / "report.html").exists()


def test_in_a_thread_and_two_at_once(project):
    """Two audits in two threads of one process, and one more after them, find the same."""
    found = {}

    def audit(name: str) -> None:
        found[name] = run_audit(project / "audit.yaml", output=project / name, jobs=1)

    threads = [threading.Thread(target=audit, args=(name,)) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    audit("third")
    assert {name: result.verdict for name, result in found.items()} == dict.fromkeys(found, "passed")
    assert found["first"].cells == found["second"].cells == found["third"].cells


def test_two_audits_of_one_folder_at_once_are_refused(project):
    from auditor.errors import StoreError
    from auditor.store import locked

    with locked(project / "out"), pytest.raises(StoreError, match="another run writes into it"):
        run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert not list(Path(project / "out").glob("*.json"))
