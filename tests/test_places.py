"""Models and data by an address of fsspec."""

from __future__ import annotations

import fsspec
import pytest

from auditor.errors import InputError
from auditor.resolve.places import _copied
from auditor.run import run_audit

pytestmark = pytest.mark.slow


@pytest.fixture
def memory(project):
    """The project's model and data at addresses of a file system in memory."""
    system = fsspec.filesystem("memory")
    for path in project.rglob("*"):
        if path.is_file() and path.suffix != ".yaml":
            system.pipe_file(f"/bucket/{path.relative_to(project).as_posix()}", path.read_bytes())
    text = (project / "audit.yaml").read_text()
    for name in ("images: images", "annotations: instances.json", "path: detector.tflite", "labels: labels.txt"):
        key, _, value = name.partition(": ")
        text = text.replace(name, f"{key}: memory://bucket/{value}")
    (project / "remote.yaml").write_text(text)
    _copied.cache_clear()
    yield system
    system.rm("/bucket", recursive=True)
    _copied.cache_clear()


def test_an_audit_of_addresses_is_that_of_files(project, memory):
    here = run_audit(project / "audit.yaml", output=project / "here", executor="serial")
    there = run_audit(project / "remote.yaml", output=project / "there", executor="serial")
    assert there.cells == here.cells
    first = _copied("memory://bucket/images")
    _copied.cache_clear()
    assert _copied("memory://bucket/images") == first  # the same is copied once
    memory.pipe_file("/bucket/images/new.png", b"x")
    _copied.cache_clear()
    assert _copied("memory://bucket/images") != first


@pytest.mark.parametrize("address", ["memory://bucket/absent", "nosuch://a/b"])
def test_an_address_that_leads_nowhere(project, memory, address):
    text = (project / "audit.yaml").read_text().replace("images: images", f"images: {address}")
    (project / "audit.yaml").write_text(text)
    with pytest.raises(InputError, match="cannot be fetched"):
        run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert not (project / "out").exists()
