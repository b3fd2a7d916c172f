"""What delegates took, and whether they give the same detections."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.values import CLEAN, PARITY, AuditResult, CellResult, Finding

__all__ = ["check_delegates"]

_RUNTIME = ("none", "xnnpack", "tensorflow")


def check_delegates(result: AuditResult) -> Iterator[Finding]:
    """Name delegates that cannot be had, that fail, and that took nothing of a model."""
    told = set()
    for cell in result.cells:
        key = cell.cell.file, cell.cell.delegate
        if (
            cell.status == "skipped"
            and key not in told
            and cell.cell.delegate in (cell.error or "")
            and cell.cell.delegate not in _RUNTIME
        ):
            told.add(key)
            yield Finding(
                check="delegate_parity",
                level="warning",
                message=f"{cell.cell.file} was not measured on {cell.cell.delegate}: {cell.error}",
                remedy="Run the audit where the delegate can be had, or take it out of `delegates`; nothing else ran "
                "in its place.",
                cell={"file": cell.cell.file, "delegate": cell.cell.delegate},
            )
    for found in result.measurements:
        if found.probe == "delegate_ops" and found.delegate != "none" and found.value["delegated"] == 0:
            yield Finding(
                check="delegate_parity",
                level="warning",
                message=f"{found.delegate} took none of the {found.value['ops']} ops of {found.model}: what ran are "
                "the built-in kernels",
                remedy="See which ops and types the delegate supports; its cells say nothing of it.",
                cell={"file": found.model, "delegate": found.delegate},
                observed=0.0,
            )
    yield from _parity(result)


def _parity(result: AuditResult) -> Iterator[Finding]:
    for cell in result.cells:
        matched = cell.metrics.get("parity_matched")
        if cell.cell.scenario != CLEAN or matched is None or matched.value is None:
            continue
        change = cell.difference("delegate")
        interval = change.interval if change is not None else None
        noise = None if interval is None else interval[0] <= 0 <= interval[1]
        if matched.value < PARITY:
            yield _differs(cell, matched.value, noise=noise)


_NOISE = {
    True: "which may be noise on these images",
    False: "which is more than noise",
    None: "and whether that is noise these few images cannot tell",
}


def _differs(cell: CellResult, matched: float, *, noise: bool | None) -> Finding:
    change, details = cell.difference("delegate"), cell.details.get("parity", {})
    metric = cell.primary.name if cell.primary is not None else "AP"
    against = details.get("against", "the first delegate")
    shown = ""
    if change is not None and change.value is not None:
        interval = f" (95 % {change.interval[0]:+.3f} to {change.interval[1]:+.3f}, paired)" if change.interval else ""
        shown = f"; {metric} changes by {change.value:+.3f}{interval}, {_NOISE[noise]}"
    return Finding(
        check="delegate_parity",
        level="warning" if noise is False else "info",
        message=(
            f"{cell.cell.file}{'' if cell.cell.device == 'local' else f' on {cell.cell.device}'}: "
            f"{cell.cell.delegate} and {against} are not interchangeable: {matched:.1%} of the detections match (same "
            "class, IoU 0.9); "
            f"the largest difference of a score is {details.get('score', 0.0):.3f}, of a corner "
            f"{details.get('corner_px', 0.0):.1f} px, worst on image {details.get('image')}{shown}"
        ),
        remedy="Judge the model on the delegate that it is deployed with, and set its gates there."
        + (" Integer kernels round differently: other boxes are not worse ones." if noise else ""),
        cell={"file": cell.cell.file, "delegate": cell.cell.delegate, "quantization": cell.cell.quantization},
        observed=matched,
        limit=PARITY,
    )
