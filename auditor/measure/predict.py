"""Run models over one unit: read, corrupt, encode, invoke, decode. Never sees truth."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.corruptions.corrupt import corrupt
from auditor.datasets.images import read_record
from auditor.errors import DataError, ModelError, ScenarioError
from auditor.models.contract import encode
from auditor.models.interpreter import Delegate, Runner
from auditor.models.postprocess import postprocess
from auditor.models.resolve import open_spec
from auditor.provenance import image_seed
from auditor.store import ImagePrediction
from auditor.values import ClassScores, ImageRecord, ModelSpec, Unit

__all__ = ["STAGES", "UnitMeasurement", "failed_prediction", "measure_unit"]

STAGES = ("read", "corrupt", "encode", "invoke", "decode")

_KEPT_BYTES = 128 * 2**20


@dataclass(frozen=True)
class UnitMeasurement:
    """Every prediction of one unit, and the seconds spent by stage; not `complete` where a worker was lost on a
    model."""

    predictions: tuple[ImagePrediction, ...]
    times_s: dict[str, float]
    complete: bool = True


class _Clock:
    """Adds up the seconds of each stage."""

    def __init__(self) -> None:
        self.times_s: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.times_s[name] += time.perf_counter() - start


def measure_unit(unit: Unit) -> UnitMeasurement:
    """Measure a unit: every model on every image at every severity.

    What fails becomes a prediction with an error, whose `scope` is `image` (unreadable: for all models), `scenario`
    (the corruption failed: for all models at that severity) or `model`.
    """
    clock = _Clock()
    libraries = {library.name: library for library in unit.libraries}
    predictions: list[ImagePrediction] = []
    for record in unit.images:
        try:
            with clock.stage("read"):
                image = _read(record)
        except DataError as error:
            predictions += [
                failed_prediction(model, record, severity, str(error), "image")
                for severity in unit.severities
                for model in unit.models
            ]
            continue
        seed = image_seed(unit.seed, unit.scenario_key, record.id)
        for severity in unit.severities:
            try:
                with clock.stage("corrupt"):
                    seen = (
                        image if unit.scenario is None else corrupt(image, unit.scenario, severity=severity, seed=seed)
                    )
            except ScenarioError as error:
                predictions += [
                    failed_prediction(model, record, severity, str(error), "scenario") for model in unit.models
                ]
                continue
            predictions += [
                _predict(record, severity, seen, model, libraries.get(model[1], model[1]), clock)
                for model in unit.models
            ]
        if record.size is not None and record.size != (image.shape[1], image.shape[0]):
            predictions = [
                dataclasses.replace(item, scope="size") if item.image_id == record.id and not item.error else item
                for item in predictions
            ]
    return UnitMeasurement(tuple(predictions), dict(clock.times_s))


def _predict(
    record: ImageRecord,
    severity: float,
    image: NDArray[np.uint8],
    model: tuple[ModelSpec, str],
    on: Delegate,
    clock: _Clock,
) -> ImagePrediction:
    spec, delegate = model
    try:
        runner = _runner(spec, on)
        with clock.stage("encode"):
            tensor, geometry = encode(image, spec.input)
        begin = time.perf_counter()
        outputs = runner.invoke(tensor)
        invoke_s = time.perf_counter() - begin
        clock.times_s["invoke"] += invoke_s
        with clock.stage("decode"):
            found = extensions.resolve("decoders", spec.decoder)(outputs, spec)
            if not isinstance(found, ClassScores):
                found = postprocess(
                    found, spec.postprocess, geometry=geometry, image_size=(image.shape[0], image.shape[1])
                )
    except (ModelError, RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
        return failed_prediction(model, record, severity, f"{type(error).__name__}: {error}", "model")
    nothing: NDArray[Any] = np.zeros(0)
    classified = isinstance(found, ClassScores)
    return ImagePrediction(
        file=spec.key,
        delegate=delegate,
        severity=severity,
        image_id=record.id,
        boxes=nothing.reshape(0, 4) if classified else found.boxes,
        scores=found.scores,
        labels=nothing.astype(np.int64) if classified else found.labels,
        invoke_ms=1e3 * invoke_s,
    )


def failed_prediction(
    model: tuple[ModelSpec, str], record: ImageRecord, severity: float, error: str, scope: str
) -> ImagePrediction:
    """The record of an image that one model could not be measured on."""
    empty: NDArray[Any] = np.zeros(0)
    return ImagePrediction(
        file=model[0].key,
        delegate=model[1],
        severity=severity,
        image_id=record.id,
        boxes=empty.reshape(0, 4),
        scores=empty,
        labels=empty.astype(np.int64),
        error=error,
        scope=scope,
    )


_runners: dict[tuple[str, str, Delegate, int, int], Runner] = {}


def _runner(spec: ModelSpec, delegate: Delegate) -> Runner:
    """One interpreter per process, model and delegate, with one thread."""
    key = (spec.path, spec.sha256, delegate, spec.input.height, spec.input.width)
    if key not in _runners:
        _runners[key] = open_spec(spec, delegate=delegate, threads=1)
    return _runners[key]


_kept: dict[ImageRecord, NDArray[np.uint8]] = {}


def _read(record: ImageRecord) -> NDArray[np.uint8]:
    """Read an image; the images of the last shard are kept, since its next scenario needs them again."""
    if record not in _kept:
        image = read_record(record)
        while _kept and sum(kept.nbytes for kept in _kept.values()) + image.nbytes > _KEPT_BYTES:
            _kept.pop(next(iter(_kept)))
        if len(_kept) >= 16:
            _kept.pop(next(iter(_kept)))
        _kept[record] = image
    return _kept[record]
