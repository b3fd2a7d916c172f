"""Run models over one unit: read, corrupt, encode, invoke, decode. Never sees truth."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import functools
import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.corruptions.corrupt import corrupt, draw_of
from auditor.datasets.image_files import read_record
from auditor.delegate import Delegate
from auditor.encoding import encode_parts
from auditor.errors import DataError, ModelError, ScenarioError
from auditor.runtimes.anatomy.runtime import OpenedModel, open_spec
from auditor.store import ImagePrediction
from auditor.tasks.anatomy.cells import task_of
from auditor.tasks.anatomy.task import Framed
from auditor.values import DECLARED, Geometry, ImageRecord, ModelSpec, Unit

__all__ = ["STAGES", "UnitPredictions", "as_one", "decoded", "failed_prediction", "predict_unit"]

STAGES = ("read", "corrupt", "encode", "invoke", "decode")

_KEPT_BYTES = 128 * 2**20
_OPEN = 8
"""Models that a process holds open: of a unit with more, so many go over all of its images, then the next."""


@dataclass(frozen=True)
class UnitPredictions:
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


def predict_unit(unit: Unit) -> UnitPredictions:
    """Run a unit: every model on every image at every severity.

    What fails becomes a prediction with an error, whose `scope` is `image` (unreadable: for all models), `scenario`
    (the corruption failed: for all models at that severity) or `model`.
    """
    clock = _Clock()
    predictions: list[ImagePrediction] = []
    for key in [key for key in _opened if key.severity is not None]:
        del _opened[key]  # a model that keeps its state begins each scenario anew
    for start in range(0, max(1, len(unit.models)), _OPEN):
        part = dataclasses.replace(unit, models=unit.models[start : start + _OPEN])
        predictions += _predict_all(part, clock)
    return UnitPredictions(tuple(predictions), dict(clock.times_s))


def _predict_all(unit: Unit, clock: _Clock) -> list[ImagePrediction]:
    """Every model of a unit on every image at every severity."""
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
        draw = draw_of(record, unit.scenario_key, seed=unit.seed)
        for severity in unit.severities:
            try:
                with clock.stage("corrupt"), _limited(unit.timeout_s):
                    seen = (
                        image if unit.scenario is None else corrupt(image, unit.scenario, severity=severity, seed=draw)
                    )
            except ScenarioError as error:
                predictions += [
                    failed_prediction(model, record, severity, str(error), "scenario") for model in unit.models
                ]
                continue
            for model in unit.models:
                with _limited(unit.timeout_s):
                    predictions.append(_predict(record, severity, seen, model, clock))
        if record.size is not None and record.size != (image.shape[1], image.shape[0]):
            predictions = [
                dataclasses.replace(item, scope="size") if item.image_id == record.id and not item.error else item
                for item in predictions
            ]
    return predictions


@contextlib.contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """End this process, where it is a worker, unless what follows ends in time: nothing else stops a model that hangs,
    whatever it holds. Whoever waits for the worker sees it end."""
    if seconds is None or multiprocessing.parent_process() is None:
        yield
        return
    faulthandler.dump_traceback_later(seconds, exit=True, file=_nowhere())
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@functools.cache
def _nowhere() -> TextIO:
    return Path(os.devnull).open("w")


def _predict(
    record: ImageRecord, severity: float, image: NDArray[np.uint8], model: tuple[ModelSpec, Delegate], clock: _Clock
) -> ImagePrediction:
    spec, delegate = model
    try:
        opened = _opened_model(spec, delegate, severity)
        with clock.stage("encode"):
            parts = encode_parts(image, spec.input)
        opened.reset()
        invoke_s, said = 0.0, []
        for tensor, geometry in parts:
            begin = time.perf_counter()
            outputs = opened.invoke(tensor)
            invoke_s += time.perf_counter() - begin
            with clock.stage("decode"):
                said.append(decoded(spec, outputs, geometry, (image.shape[0], image.shape[1]), orders=True))
        clock.times_s["invoke"] += invoke_s
        with clock.stage("decode"):
            values = as_one(spec, said)
    except (ModelError, RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
        return failed_prediction(model, record, severity, f"{type(error).__name__}: {error}", "model")
    return ImagePrediction(spec.key, delegate.name, severity, record.id, values, invoke_ms=1e3 * invoke_s)


def decoded(
    spec: ModelSpec,
    outputs: Mapping[str, NDArray[Any]],
    geometry: Geometry,
    size: tuple[int, int],
    *,
    orders: bool = False,
) -> Mapping[str, NDArray[Any]]:
    """What a model's outputs say of an image of (height, width), as its task stores it: the one way from outputs to
    predictions, wherever they were invoked. With `orders` also what other orders of equal scores would give.

    Raises:
        ModelError, ValueError, KeyError, IndexError, TypeError: the outputs are not those of the head.
    """
    found = extensions.resolve("heads", spec.decoder).decode(outputs, spec)
    wanted = orders and spec.variant == DECLARED and spec.input.tiles is None
    return task_of(spec.task).finish(found, Framed(spec, geometry, size, wanted))


def as_one(spec: ModelSpec, said: Sequence[Mapping[str, NDArray[Any]]]) -> Mapping[str, NDArray[Any]]:
    """What a model says of an image, from what it says of its parts."""
    merge = task_of(spec.task).merged
    if spec.input.tiles is None or merge is None:
        (whole,) = said
        return whole
    return merge(said, spec.input.tiles, spec.postprocess)


def failed_prediction(
    model: tuple[ModelSpec, Delegate], record: ImageRecord, severity: float, error: str, scope: str
) -> ImagePrediction:
    """The record of an image that one model could not be measured on."""
    return ImagePrediction(model[0].key, model[1].name, severity, record.id, error=error, scope=scope)


class _Key(NamedTuple):
    """What an interpreter is kept for; `severity` is that of the images a model has met that keeps its state."""

    path: str
    sha256: str
    delegate: Delegate
    height: int
    width: int
    severity: float | None


_opened: dict[_Key, OpenedModel] = {}


def _opened_model(spec: ModelSpec, delegate: Delegate, severity: float) -> OpenedModel:
    """One interpreter per process, model and delegate, with one thread; of those without state the last few."""
    kept = severity if spec.keeps_state else None
    key = _Key(spec.path, spec.sha256, delegate, spec.input.height, spec.input.width, kept)
    if key not in _opened:
        without_state = [other for other in _opened if other.severity is None]
        for other in without_state[: max(0, len(without_state) - _OPEN + 1)]:
            del _opened[other]
        _opened[key] = open_spec(spec, delegate=delegate, threads=1)
    return _opened[key]


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
