"""Put each cell beside that of the baseline which the document names."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import numpy as np

from auditor.evaluate.versus import Run, differences_of, label_of_run, pairs_of
from auditor.run.session import Session, State
from auditor.run.stages.recording import record
from auditor.values import BASELINE, Baseline, CellResult, MetricValue

__all__ = ["beside_baseline"]


def beside_baseline(session: Session, state: State) -> State:
    """Add to each cell its metrics' differences from the baseline's (`AP_minus_baseline`), and keep the baseline's
    cells for the gates that compare with them."""
    baseline = state.compared_with
    if baseline is None:
        return state
    result = record(session, state, command="", started=datetime.now(UTC))
    samples = {key: np.asarray(found, dtype=np.float64) for key, found in state.samples.items()}
    run = Run(result, samples)
    cells: dict[str, CellResult] = {}
    left_out: dict[str, str] = {}
    added: dict[int, CellResult] = {}
    places = {cell.key: index for index, cell in enumerate(state.cells)}
    for pair in pairs_of(baseline.result, result):
        name = str(pair.cell.key)
        if pair.reason is not None:
            left_out[name] = pair.reason
            continue
        plain = {metric: value for metric, value in pair.before.metrics.items() if "_minus_" not in metric}
        cells[name] = CellResult.of(
            pair.before.key, status="ok", images=pair.before.images, judged_by=pair.before.judged_by, metrics=plain
        )
        metrics = dict(pair.cell.metrics)
        for found in differences_of(pair, baseline, run):
            called = f"{found.metric}_minus_{BASELINE}"
            metrics[called] = MetricValue(
                called,
                found.value,
                reason=found.reason or "undefined" if found.value is None else None,
                interval=found.interval,
                higher_is_better=found.higher_is_better,
                images=pair.cell.images,
            )
        added[places[pair.cell.key]] = dataclasses.replace(pair.cell, metrics=metrics)
    return dataclasses.replace(
        state,
        cells=tuple(added.get(index, cell) for index, cell in enumerate(state.cells)),
        baseline=Baseline(label_of_run(baseline.result), cells, left_out),
    )
