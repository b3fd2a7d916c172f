"""What delegates took, and whether they give the same detections."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.judge.told import NotRun, Told, place_of
from auditor.values import PARITY, AuditResult, CellResult, DelegateOps, Drift, Json

__all__ = ["check_delegates", "departs"]


def check_delegates(result: AuditResult) -> Iterator[Told | NotRun]:
    """Name delegates that cannot be had, that took nothing of a model, and that give other detections."""
    if not any(cell.parity is not None for cell in result.cells):
        yield NotRun("no two delegates were compared: name several in `delegates:`")
    told = set()
    for cell in result.cells:
        key = cell.file, cell.delegate
        if cell.status == "skipped" and cell.cause == "delegate" and key not in told:
            told.add(key)
            facts = {"file": cell.file, "delegate": cell.delegate, "reason": cell.error or ""}
            yield Told("delegate.unavailable", facts, place_of(cell, "file", "delegate"))
    kernels = {delegate.name for delegate in result.plan.delegates if not delegate.takes_ops}
    for found in result.measurements:
        value = found.value
        if isinstance(value, DelegateOps) and found.delegate not in kernels and value.delegated == 0:
            yield Told(
                "delegate.took_nothing",
                {"file": found.model, "delegate": found.delegate, "ops": value.ops},
                {"file": found.model, "delegate": found.delegate},
                observed=0.0,
            )
    for cell in result.cells:
        if cell.is_clean and cell.parity is not None:
            yield from _differs(cell)
    for drift in result.drifts:
        if drift.kind == "delegate":
            yield departs("delegate.departs", drift)


def departs(code: str, drift: Drift) -> Told:
    """At which op a file departs from its reference."""
    rows = [drift.first] if drift.first is not None else list(drift.worst[:1])
    row = rows[0] if rows else None
    facts: dict[str, Json] = {
        "file": drift.file,
        "delegate": drift.delegate,
        "against": drift.against,
        "images": drift.images,
        "compared": drift.compared,
        "ops": drift.ops,
        "limit": drift.limit_db,
        "beyond": drift.first is not None,
        "number": None if row is None else row.number,
        "op": None if row is None else row.op,
        "tensor": None if row is None else row.tensor,
        "ratio": None if row is None else row.sqnr_db,
        "cosine": None if row is None else row.cosine,
        "largest": None if row is None else row.largest,
        "nan": 0 if row is None else row.nan,
        "reason": drift.reason,
    }
    observed = None if row is None else row.sqnr_db
    place: dict[str, str | int | float] = {"file": drift.file}
    if drift.kind == "delegate":
        place["delegate"] = drift.delegate
    return Told(code, facts, place, observed=observed, limit=drift.limit_db)


def _differs(cell: CellResult) -> Iterator[Told]:
    matched = cell.parity.matched if cell.parity is not None else None
    if matched is None or matched >= PARITY or cell.parity is None:
        return
    change = cell.difference("delegate")
    interval = change.interval if change is not None else None
    noise = None if interval is None else interval[0] <= 0 <= interval[1]
    yield Told(
        "delegate.differs",
        facts={
            "file": cell.file,
            "device": None if cell.is_local else cell.device,
            "delegate": cell.delegate,
            "against": cell.parity.against,
            "matched": matched,
            "score": cell.parity.score,
            "corner_px": cell.parity.corner_px,
            "image": cell.parity.image,
            "metric": cell.judged_by,
            "change": change.value if change is not None else None,
            "interval": None if interval is None else list(interval),
            "noise": noise,
        },
        cell=place_of(cell, "file", "delegate", "quantization"),
        observed=matched,
        limit=PARITY,
        level="warning" if noise is False else None,
    )
