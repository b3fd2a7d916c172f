"""A task of its own: counting the objects of each class on an image, with a head, metrics and a section."""

from __future__ import annotations

import numpy as np

from auditor.evaluate.intervals import expanded
from auditor.heads.anatomy.head import NUMBER, Head, Match, Settled
from auditor.report.section import Section
from auditor.tasks.anatomy.task import Column, Evaluated, Task
from auditor.values import MetricValue, Source


def decode(outputs, spec):
    """Count in (1, N, 4 + classes, 1, 1): cells whose best score is above `threshold`, those that overlap once."""
    (table,) = outputs.values()
    rows = np.asarray(table, dtype=np.float64)[0, :, :, 0, 0]
    counts = np.zeros(rows.shape[1] - 4)
    taken = []
    for row in rows[np.argsort(-rows[:, 4:].max(axis=1), kind="stable")]:
        label = int(row[4:].argmax())
        if row[4 + label] < float(spec.decoder_options.get("threshold", 0.3)):
            break
        near = [1 for at, side in taken if np.abs(at - row[:2]).max() < side / 2]
        if not near:
            taken.append((row[:2], max(row[2:4])))
            counts[label] += 1
    return counts


def recognise(seen):
    """Tell it by its five sides."""
    if len(seen.shapes) == 1 and len(seen.shapes[0]) == 5:
        return Match(f"one output {seen.shapes[0]}: counts", sure=True)
    return None


HEAD = Head(
    name="counter",
    task="counting",
    about="(1, N, 4 + classes, 1, 1): counted",
    decode=decode,
    recognise=recognise,
    settle=lambda settling: Settled(dict(settling.given), {name: Source("audit.yaml") for name in settling.given}),
    input={"color": "rgb", "mean": (0.0,), "std": (255.0,), "resize": "stretch"},
    options={"threshold": NUMBER},
)


def to_prediction(values, table, offset):
    """Return the counts (J,) of the judged classes, and how many objects of others were dropped."""
    counts, judged = values["counts"], np.zeros(int(table.max()) + 1)
    for index, count in enumerate(counts):
        if 0 <= index + offset < len(table) and table[index + offset] >= 0:
            judged[table[index + offset]] += count
    return judged, int(counts.sum() - judged.sum())


def restrict(truth, judged):
    """Return the true counts (J,) of the judged classes."""
    counts = np.zeros(len(judged))
    for label in truth.labels.tolist():
        if label in judged:
            counts[judged[label]] += 1
    return counts


def between(samples, images):
    return expanded(samples[:, np.newaxis], images=len(images))[0]


def evaluate(judged):
    """Return the share of objects that are counted right, and the mean error."""
    images = sorted(judged.truth)
    if not images:
        values = [MetricValue(name, None, reason="no image") for name in METRICS]
        return Evaluated(tuple(values), {})
    errors = np.array([np.abs(judged.predictions[i] - judged.truth[i]).sum() for i in images])
    there = np.array([max(1.0, judged.truth[i].sum()) for i in images])
    right = np.maximum(0.0, 1 - errors / there)
    weights = judged.weights.astype(np.float64)
    samples = {name: weights @ values / weights.sum(axis=1) for name, values in (("counted", right), ("off", errors))}
    return Evaluated(
        (
            MetricValue(
                "counted",
                float(right.mean()),
                interval=between(samples["counted"], images),
                images=len(images),
            ),
            MetricValue(
                "off",
                float(errors.mean()),
                interval=between(samples["off"], images),
                higher_is_better=False,
                images=len(images),
            ),
        ),
        samples,
    )


METRICS = {"counted": "share of objects counted right", "off": "objects counted wrongly an image"}

TASK = Task(
    name="counting",
    about="how many objects of each class there are",
    truths=("detection",),
    columns={"counts": Column("float64", 0, "objects of each of the model's classes")},
    metrics=METRICS,
    primary="counted",
    finish=lambda decoded, framed: {"counts": decoded},
    to_prediction=to_prediction,
    restrict=restrict,
    evaluate=evaluate,
    things="objects",
)


def facts(shown):
    """Return the counting models with their mean error on clean images."""
    result = shown.judgement.result
    cells = [cell for cell in result.cells if cell.is_clean and cell.is_declared and "off" in cell.metrics]
    return {"cells": cells} if cells else None


SECTION = Section(
    name="counting",
    rank=35,
    facts=facts,
    source='<h2 id="counting">Counting</h2>{% for cell in cells %}'
    "<p>{{ cell.file }} is off by {{ '%.2f' | format(cell.metrics['off'].value) }} objects an image</p>{% endfor %}",
)
