"""What feeding a model in tiles brings, and costs, beside the same file fed whole pictures."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.judge.told import NotRun, Told
from auditor.values import LOCAL, AuditResult, CellResult, InRun, Json, ModelRecord

__all__ = ["check_tiles"]


def check_tiles(result: AuditResult) -> Iterator[Told | NotRun]:
    """Compare the clean cells and the time of each file that is fed in tiles with those of the same one that is not."""
    tiled = [model for model in result.models if model.input.tiles is not None]
    if not tiled:
        yield NotRun("no model is fed in tiles (`input.tiles`)")
        return
    for model in tiled:
        plain = next((other for other in result.models if _is_whole(other, model)), None)
        if plain is None:
            yield NotRun(f"{model.name} has no entry of the same file without `tiles` beside it, to compare with")
            continue
        for cell in _clean(result, model):
            beside = next((other for other in _clean(result, plain) if other.delegate == cell.delegate), None)
            if beside is not None and cell.value is not None and beside.value is not None:
                yield _told(result, model, cell, beside)


def _is_whole(other: ModelRecord, model: ModelRecord) -> bool:
    same = (other.sha256, other.dataset) == (model.sha256, model.dataset)
    return same and other.input.tiles is None and other.quantization == model.quantization


def _clean(result: AuditResult, model: ModelRecord) -> list[CellResult]:
    return [
        cell
        for cell in result.cells
        if cell.file == model.name
        and cell.is_clean
        and cell.is_declared
        and cell.device == LOCAL
        and cell.status == "ok"
    ]


def _told(result: AuditResult, model: ModelRecord, cell: CellResult, beside: CellResult) -> Told:
    small = model.judging.of_small
    values: dict[str, Json] = {"metric": cell.judged_by, "value": cell.value, "whole": beside.value}
    pair = [item.metrics.get(small) for item in (cell, beside)] if small is not None else []
    known = [item.value for item in pair if item is not None and item.value is not None]
    times = [_ms(result, item) for item in (cell, beside)]
    tiles = model.input.tiles
    return Told(
        "tiles.gain",
        facts={
            **values,
            "file": cell.file,
            "beside": beside.file,
            "delegate": cell.delegate,
            "size": [] if tiles is None else list(tiles.size),
            "small": known if len(known) == len(pair) else [],
            "times": [time for time in times if time is not None] if None not in times else [],
        },
        cell={"model": cell.model, "file": cell.file, "quantization": cell.quantization, "delegate": cell.delegate},
        observed=cell.value,
    )


def _ms(result: AuditResult, cell: CellResult) -> float | None:
    """The milliseconds of an image in the run."""
    return next(
        (
            found.value.p50
            for found in result.measurements
            if isinstance(found.value, InRun) and (found.model, found.delegate) == (cell.file, cell.delegate)
        ),
        None,
    )
