"""What could not be measured, and what keeps a run from being repeated."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.judge.told import Told, place_of
from auditor.values import AuditResult, CellResult

__all__ = ["check_run"]

_COMMIT = 12


def check_run(result: AuditResult) -> Iterator[Told]:
    """Show every cell that failed, and what keeps the run from being repeated."""
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for cell in result.cells:
        if cell.status == "failed":
            groups.setdefault((cell.file, cell.error or ""), []).append(cell)
    for (file, error), cells in groups.items():
        first = cells[0]
        where = str(first.key) if len(cells) == 1 else f"{len(cells)} cells of {file}, first {first.key}"
        reason = error.strip().splitlines()[-1] if error.strip() else "no reason was recorded"
        yield Told("run.failed", {"where": where, "reason": reason}, place_of(first))
    if result.plan.decide is not None:
        partial = [cell for cell in result.cells if cell.of_images is not None]
        skipped = [cell for cell in result.cells if cell.cause == "decided"]
        whole = sum(cell.of_images or cell.images for cell in result.cells if cell.is_declared)
        whole += sum(max((cell.of_images or cell.images for cell in result.cells), default=0) for _ in skipped)
        facts = {
            "error": result.plan.decide,
            "partial": len(partial),
            "skipped": len(skipped),
            "share": sum(cell.images for cell in result.cells if cell.is_declared) / max(1, whole),
        }
        yield Told("run.decided", facts)
    source = result.provenance.source
    if source is not None and source.dirty:
        yield Told("run.dirty", {"commit": (source.commit or "")[:_COMMIT]})
