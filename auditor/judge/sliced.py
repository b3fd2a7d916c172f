"""Where in the data a model does worse, and where the truth may be wrong."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.judge.told import NotRun, Told
from auditor.values import AuditResult, Json

__all__ = ["check_slices"]

_SHOWN = 10


def check_slices(result: AuditResult) -> Iterator[Told | NotRun]:
    """Name, for each file, the parts of the data on which it finds less than on the rest, beyond chance; and what may
    be missing in the truth."""
    if not any(cell.is_clean and cell.moved is not None for cell in result.cells):
        yield NotRun("nothing is known of single objects: there is no clean cell with truth at an operating point")
    files: dict[tuple[str, str], list[str]] = {}
    tried: dict[tuple[str, str], int] = {}
    for found in result.slices:
        key = found.file, found.delegate
        told = f"{found.by}: {found.group} ({found.found:.0%} of {found.objects} instead of {found.others:.0%})"
        files.setdefault(key, []).append(told)
        tried[key] = found.tried
    for (file, delegate), listed in files.items():
        facts: dict[str, Json] = {
            "file": file,
            "delegate": delegate,
            "slices": list(listed[:_SHOWN]),
            "tried": tried[file, delegate],
        }
        yield Told("slices.worse", facts, {"file": file, "delegate": delegate}, observed=float(len(listed)))
    if result.suspects:
        first = result.suspects[0]
        facts = {
            "places": len(result.suspects),
            "files": list(first.files),
            "label": first.label,
            "image": first.image,
            "score": first.score,
        }
        yield Told("slices.truth", facts, observed=float(len(result.suspects)))
