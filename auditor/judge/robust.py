"""Which scenarios cost a model most, and whether it works at all."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.judge.quantization import breaks_in_head
from auditor.judge.told import NotRun, Told, place_of
from auditor.values import CLEAN, AuditResult, CellResult, Summary

__all__ = ["check_robustness"]

_WEAK_KEPT = 0.5
"""A scenario that keeps less than this share of the clean value by a middle severity is worth a warning."""
_MIDDLE = 3
_GREW = 0.02
"""A kind of error that costs less more than on clean images explains nothing."""
_SUMMARY = ("model", "file", "quantization", "delegate")
_ANY = "Train with images of this kind, or keep the condition from reaching the camera."


def check_robustness(result: AuditResult) -> Iterator[Told | NotRun]:
    """Name, for each model, the scenarios that cost most, and those that leave less than half by a middle severity."""
    if not any(not cell.is_clean for cell in result.cells):
        yield NotRun("no scenario was run: name some in `scenarios:`")
    remedies = {scenario.key: scenario.remedy or _ANY for scenario in result.plan.scenarios}
    explained = {
        cell.file
        for cell in result.cells
        if (value := cell.difference("declared")) is not None and value.interval is not None and value.interval[0] > 0
    }
    for summary in result.summaries:
        clean = summary.clean.value
        yield from _broken(result, summary, explained)
        if clean is not None and clean < _least(result, summary):
            continue  # what it keeps of next to nothing says nothing
        kept = _kept_by_scenario(result, summary, clean) if clean else {}
        if not kept or not clean:
            continue
        for scenario, cells in kept.items():
            weak = [(cell, share) for cell, share in cells if cell.severity <= _MIDDLE and share < _WEAK_KEPT]
            for cell, share in weak[:1]:
                kind, grew = _grew_most(cell, _clean_of(result, summary))
                yield Told(
                    "robustness.weak",
                    facts={
                        "label": str(summary),
                        "scenario": scenario,
                        "severity": cell.severity,
                        "metric": summary.judged_by,
                        "kept": share,
                        "value": share * clean,
                        "clean": clean,
                        "remedy": remedies.get(scenario, _ANY),
                        "kind": kind,
                        "grew": grew,
                    },
                    cell=place_of(cell),
                    observed=share,
                    limit=_WEAK_KEPT,
                )
        means = {scenario: sum(share for _, share in cells) / len(cells) for scenario, cells in kept.items()}
        worst, best = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
        if worst != best:
            yield Told(
                "robustness.weakest",
                facts={
                    "label": str(summary),
                    "metric": summary.judged_by,
                    "worst": worst,
                    "kept": means[worst],
                    "best": best,
                    "best_kept": means[best],
                    "remedy": remedies.get(worst, _ANY),
                },
                cell={name: getattr(summary, name) for name in _SUMMARY} | {"scenario": worst},
                observed=means[worst],
            )


def _clean_of(result: AuditResult, summary: Summary) -> CellResult | None:
    return next((cell for cell in result.cells if cell.is_clean and summary.holds(cell)), None)


def _grew_most(cell: CellResult, clean: CellResult | None) -> tuple[str | None, float]:
    """The kind of error whose cost grew most, and by how much."""
    if cell.errors is None or clean is None or clean.errors is None:
        return None, 0.0
    grew = {cost.kind: cost.cost - clean.errors.cost(cost.kind) for cost in cell.errors.costs}
    most = max(grew, key=grew.__getitem__)
    return (most, grew[most]) if grew[most] >= _GREW else (None, 0.0)


def _least(result: AuditResult, summary: Summary) -> float:
    """The clean value below which a model is broken rather than weak."""
    model = result.model(summary.file)
    return (model.judging.broken_below if model is not None else None) or 0.0


def _broken(result: AuditResult, summary: Summary, explained: set[str]) -> Iterator[Told]:
    """A model that finds next to nothing, where nothing else that is told explains it."""
    model = result.model(summary.file)
    if model is None or model.made is not None or not result.plan.asks("input_contract"):
        return
    clean, least = summary.clean.value, model.judging.broken_below
    if clean is None or least is None or clean >= least or summary.file in explained or breaks_in_head(model.diagnosis):
        return
    yield Told(
        "input.broken",
        facts={"label": str(summary), "metric": summary.judged_by, "value": clean},
        cell={name: getattr(summary, name) for name in _SUMMARY} | {"scenario": CLEAN},
        observed=clean,
        limit=least,
    )


def _kept_by_scenario(result: AuditResult, summary: Summary, clean: float) -> dict[str, list[tuple[CellResult, float]]]:
    kept: dict[str, list[tuple[CellResult, float]]] = {}
    for cell in result.cells:
        if summary.holds(cell) and not cell.is_clean and cell.value is not None:
            kept.setdefault(cell.scenario, []).append((cell, cell.value / clean))
    return {scenario: sorted(cells, key=lambda item: item[0].severity) for scenario, cells in kept.items()}
