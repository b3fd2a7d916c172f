"""Whether each model is fed and read as it was trained, from the cells of changed inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from auditor.judge.told import NotRun, Told
from auditor.values import (
    ENOUGH_TO_CALIBRATE,
    MISCALIBRATED,
    WORTH,
    AuditResult,
    CellResult,
    Compared,
    Gain,
    InputContract,
    MetricValue,
    ModelRecord,
    surest,
)

__all__ = ["check_input_contract"]

_BROKEN = 0.02
"""A model that reaches less than this is not fed as it was trained, whatever else was tried."""
_WRONG = 0.5
"""A declared contract that reaches less than this share of another is wrong, not just second best."""
_RANGES: dict[tuple[tuple[float, ...], ...], str] = {
    ((0.0,), (1.0,)): "0..255",
    ((0.0,), (255.0,)): "0..1",
    ((127.5,), (127.5,)): "-1..1",
}
_CODES = {"input": "input.better", "labels": "labels.better", "boxes": "boxes.better"}


@dataclass(frozen=True)
class _Other:
    """A model fed or read otherwise: its cell, what was changed, and the difference from the declared one."""

    cell: CellResult
    compared: Compared
    difference: MetricValue

    @property
    def gain(self) -> float:
        return self.difference.value or 0.0

    @property
    def reached(self) -> float:
        return self.cell.value or 0.0

    @property
    def interval(self) -> tuple[float, float]:
        return self.difference.interval or (0.0, 0.0)


def check_input_contract(result: AuditResult) -> Iterator[Told | NotRun]:
    """Say for each model whether another input contract, or another reading of its predictions, is better than chance
    explains, and which line of YAML declares it."""
    tried: dict[str, list[_Other]] = {}
    for cell in result.cells:
        value = cell.difference("declared")
        if cell.compared is not None and cell.status == "ok" and value is not None:
            tried.setdefault(cell.file, []).append(_Other(cell, cell.compared, value))
    if not tried:
        yield NotRun("no other input was compared: that needs truth, and a first level that is no variant of another")
    fed = {file: [other for other in others if other.compared.kind == "input"] for file, others in tried.items()}
    best = {file: _best(others) for file, others in tried.items()}
    misread = {found.cell.model for found in best.values() if found is not None and found.compared.kind != "input"}
    yield from _overconfident(result, fed, misread)
    for file, others in tried.items():
        model = result.model(file)
        if model is not None:
            yield from _of_model(model, fed[file], others, best[file])


def _of_model(
    model: ModelRecord, fed: Sequence[_Other], others: Sequence[_Other], better: _Other | None
) -> Iterator[Told]:
    if better is not None:
        yield _improvement(model, better)
    else:
        unusual = list(_unusual(model, fed))
        yield from unusual
        if fed and not unusual:
            yield _sound(model, others)


def _overconfident(
    result: AuditResult, fed: Mapping[str, Sequence[_Other]], misread: Collection[str]
) -> Iterator[Told]:
    """Models whose confidence is far from their accuracy, which the primary metric does not show; the first of each
    family, and none that is read wrongly."""
    told: set[str] = set()
    for cell in result.cells:
        model = result.model(cell.file)
        name = model.judging.calibration if model is not None else None
        error = cell.metrics.get(name) if name is not None else None
        if error is None or error.value is None or error.value < MISCALIBRATED:
            continue
        if not cell.is_clean or not cell.is_declared or cell.images < ENOUGH_TO_CALIBRATE:
            continue
        if cell.model in told or cell.model in misread:
            continue
        told.add(cell.model)
        others = [other for found in fed.values() for other in found if other.cell.model == cell.model]
        errors = [(other, value) for other in others if (value := _value_of(other.cell, str(name))) is not None]
        best, reached = min(errors, key=lambda item: item[1], default=(None, error.value))
        better = best is not None and reached < error.value
        yield Told(
            "input.overconfident",
            facts={
                "label": f"{cell.file} ({cell.quantization}, {cell.delegate})",
                "metric": cell.judged_by,
                "value": cell.value or 0.0,
                "images": cell.images,
                "error": error.value,
                "other": _changed(best) if best is not None and better else "",
                "other_images": best.cell.images if best is not None else 0,
                "other_error": reached,
                "line": str(best.compared.patch) if best is not None and better else "",
            },
            cell={"model": cell.model, "file": cell.file, "quantization": cell.quantization},
            observed=error.value,
            limit=MISCALIBRATED,
            fix=best.compared.patch if best is not None and better else None,
        )


def _value_of(cell: CellResult, name: str) -> float | None:
    metric = cell.metrics.get(name)
    return metric.value if metric is not None else None


def _best(others: Sequence[_Other]) -> _Other | None:
    """Of those that are surely better the one from which on nothing else was, else (as in a result of an older schema)
    the one of fewest changes, unless another is worth more."""
    gains = [Gain.of(other.difference, changes=len(other.compared.factors)) for other in others]
    chosen = [other for other, gain in zip(others, gains, strict=True) if other.compared.chosen and gain.is_sure]
    found = surest(gains)
    return chosen[0] if chosen else None if found is None else others[found]


def _unusual(model: ModelRecord, fed: Sequence[_Other]) -> Iterator[Told]:
    """A head whose models are trained on letterboxed images: another `resize` that these images neither confirm nor
    refute."""
    source = model.sources.get("input.resize")
    replaced = source.instead_of if source is not None else None
    if not model.letterboxed or replaced is None or replaced.value != "letterbox":
        return
    letterboxed = [
        other
        for other in fed
        if other.compared.factors == ("resize",)
        and other.compared.contract is not None
        and other.compared.contract.resize == "letterbox"
    ]
    for other in sorted(letterboxed, key=lambda other: len(other.cell.input)):  # the shortest keeps the anchor
        low, high = other.interval
        if high >= WORTH:
            yield Told(
                "input.unusual",
                facts={
                    "file": model.name,
                    "declared_as": _described(model.input),
                    "head": model.decoder.name,
                    "images": other.cell.images,
                    "other": other.cell.input,
                    "gain": other.gain,
                    "low": low,
                    "high": high,
                    "line": str(other.compared.patch),
                },
                cell={"model": model.model, "file": model.name, "input": other.cell.input},
                observed=other.difference.value,
                fix=other.compared.patch,
            )
            return


def _improvement(model: ModelRecord, other: _Other) -> Told:
    more = {"declared_as": _described(model.input)} if other.compared.kind == "input" else {}
    low, high = other.interval
    declared = other.reached - other.gain
    return Told(
        _CODES[other.compared.kind],
        facts={
            "file": model.name,
            **more,
            "metric": other.cell.judged_by,
            "declared": declared,
            "images": other.cell.images,
            "other": _changed(other),
            "reached": other.reached,
            "gain": other.gain,
            "low": low,
            "high": high,
            "comparisons": other.compared.comparisons,
            "line": str(other.compared.patch),
        },
        cell={"model": model.model, "file": model.name, "input": other.cell.input},
        observed=other.gain,
        limit=WORTH,
        level="error" if declared < _WRONG * other.reached else None,
        fix=other.compared.patch,
    )


def _sound(model: ModelRecord, others: Sequence[_Other]) -> Told:
    known = [other for other in others if other.difference.value is not None]
    best = max(known, key=lambda other: other.gain, default=others[0])
    interval = best.difference.interval
    declared = best.reached - best.gain
    undecided = best.gain >= WORTH
    return Told(
        "input.sound",
        facts={
            "file": model.name,
            "tried": best.compared.comparisons,
            "declared_as": _described(model.input),
            "metric": best.cell.judged_by,
            "declared": declared,
            "images": best.cell.images,
            "other": best.cell.input,
            "reached": best.reached,
            "gain": best.gain,
            "interval": None if interval is None else list(interval),
            "undecided": undecided,
            "broken": best.reached < _BROKEN,
        },
        cell={"model": model.model, "file": model.name},
        observed=best.gain,
        limit=WORTH,
        level="warning" if undecided and best.gain > declared else None,
    )


def _changed(other: _Other) -> str:
    """A changed input in words."""
    contract = other.compared.contract
    return f"{_described(contract)} ({other.cell.input})" if contract is not None else other.cell.input


def _described(contract: InputContract) -> str:
    """What a model is fed, in a few words: colour, range and resize."""
    rounded = tuple(round(value, 2) for value in contract.mean), tuple(round(value, 2) for value in contract.std)
    values = _RANGES.get(rounded, f"(pixel - {_numbers(contract.mean)}) / {_numbers(contract.std)}")
    anchor = f" {contract.anchor.replace('_', ' ')}" if contract.resize == "letterbox" else ""
    return f"{contract.color.upper()} {values}, {contract.resize}{anchor}"


def _numbers(values: Sequence[float]) -> str:
    return "/".join(f"{value:.4g}" for value in values)
