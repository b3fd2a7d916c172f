"""Judge what another device sent back: decode, evaluate and compare the raw outputs that bundles' runners wrote."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.bundle.format import META, Item, fingerprint, items, packed
from auditor.config import latency_of
from auditor.datasets.image_files import read_record
from auditor.encoding import dequantize, geometry_of
from auditor.errors import DataError, InputError, ModelError
from auditor.evaluate.differences import with_differences
from auditor.evaluate.evaluated import CellEvaluation
from auditor.files import parsed_json
from auditor.measure.predict import decoded
from auditor.plan import Plan
from auditor.runtimes.anatomy.runtime import FileFacts, facts_of
from auditor.store import ImagePrediction
from auditor.tasks.anatomy.cells import Said, cell_task, evaluate_cell, evaluation_at, judged_truth, point_of, task_of
from auditor.values import LOCAL, Cell, CellResult, DeviceFacts, Measurement, ModelSpec, OperatingPoint

__all__ = ["Elsewhere", "check_parts", "devices_of", "load_elsewhere"]

_SHOWN = 20
_PARTS = 10_000
_RATIO = 200
"""Outputs of a model are packed to no less than this share of their size."""


@dataclass(frozen=True)
class Elsewhere:
    """What another device measured: its cells, with differences among themselves, and its speeds."""

    cells: tuple[CellResult, ...]
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True)
class _File:
    """One file that a bundle's runner wrote: its note, and raw outputs by (model file, delegate, number of the
    item)."""

    path: Path
    meta: Mapping[str, Any]
    outputs: Mapping[tuple[str, str, int], Mapping[int, NDArray[Any]]]


def devices_of(files: Sequence[Path]) -> list[str]:
    """What the devices are called whose measurements these files hold.

    Raises:
        InputError: a file is not such a file.
    """
    problems: list[str] = []
    found = []
    for path in files:
        try:
            with _opened(path) as loaded:
                found.append(str(_note(loaded)["device"]))
        except _NOT_MEASUREMENTS as error:
            problems.append(_not_measurements(path, error))
    if problems:
        raise InputError(problems)
    return list(dict.fromkeys(found))


def check_parts(plan: Plan, files: Sequence[Path]) -> dict[str, dict[int, _File]]:
    """The files of each device by the number of their part.

    Raises:
        InputError: a file is not such a file, is of another audit, or a part is missing or stands twice.
    """
    specs = packed(plan)
    problems: list[str] = []
    devices = _devices(files, fingerprint(plan, specs), {spec.name for spec in specs}, problems)
    for device, parts in devices.items():
        first = next(iter(parts.values()))
        total = int(first.meta["parts"])
        missing = [str(part + 1) for part in range(total) if part not in parts]
        if missing:
            problems.append(
                f"{first.path}: of {device} the parts {', '.join(missing[:_SHOWN])} of {total} are missing; measure "
                "them too, and give all"
            )
    if problems:
        raise InputError(problems)
    return devices


def load_elsewhere(plan: Plan, files: Sequence[Path], points: Mapping[str, OperatingPoint]) -> Elsewhere:
    """Judge the parts of one device, or of several, held at the operating points of the families.

    Raises:
        InputError: as `check_parts`.
    """
    specs, devices = packed(plan), check_parts(plan, files)
    cells: list[CellResult] = []
    measurements: list[Measurement] = []
    for device, parts in devices.items():
        evaluations = {found.result.key: found for found in _evaluated(plan, specs, parts, (device, points))}
        results = [found.result for found in evaluations.values()]
        cells += with_differences(results, evaluations, lambda file: task_of(plan.subjects.spec(file).task).compare)
        measurements += _speeds(specs, parts, device)
    return Elsewhere(tuple(cells), tuple(measurements))


def _devices(
    files: Sequence[Path], expected: str, names: Container[str], problems: list[str]
) -> dict[str, dict[int, _File]]:
    """The files of each device by the number of their part."""
    devices: dict[str, dict[int, _File]] = {}
    for path in files:
        found = _load(path, expected, names, problems)
        if found is None:
            continue
        known = devices.setdefault(str(found.meta["device"]), {})
        part = int(found.meta["part"])
        if part in known:
            problems.append(
                f"{path}: part {part + 1} of {found.meta['device']} is given twice; give each device another --device, "
                "and each part once"
            )
        known[part] = found
    return devices


_NOT_MEASUREMENTS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
_MOST_BYTES = 16 * 2**30
"""Unpacked, a part of a bundle's measurements is never larger."""


def _opened(path: Path) -> Any:
    """The arrays of a measurements file, none of which is read yet.

    Raises:
        OSError, ValueError, zipfile.BadZipFile: it is not such a file, or would unpack to more than its size explains.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(item.file_size for item in archive.infolist())
    if unpacked > min(_MOST_BYTES, _RATIO * path.stat().st_size + 2**20):
        raise ValueError(f"it would unpack to {unpacked:,} bytes")
    return np.load(path, allow_pickle=False)


def _note(loaded: Any) -> dict[str, Any]:
    """The note of a measurements file."""
    found = parsed_json(bytes(loaded["meta"]), finite=True)
    if not isinstance(found, dict):
        raise TypeError("its note is no mapping")
    return found


def _not_measurements(path: Path, error: Exception) -> str:
    kind = type(error).__name__
    return f"{path}: not the measurements of a bundle ({kind}); give what `python BUNDLE.pyz -o FILE` wrote"


def _load(path: Path, expected: str, names: Container[str], problems: list[str]) -> _File | None:
    try:
        with _opened(path) as loaded:
            meta = _note(loaded)
            arrays = {name: loaded[name] for name in loaded.files if name != "meta"}
        outputs: dict[tuple[str, str, int], dict[int, NDArray[Any]]] = {}
        for name, array in arrays.items():
            file, delegate, number, index = name.split("|")
            outputs.setdefault((file, delegate, int(number)), {})[int(index)] = array
        right = all(isinstance(meta[key], kind) for key, kind in META.items())
        right = right and meta["device"].strip() not in ("", LOCAL)
        right = right and 0 <= meta["part"] < meta["parts"] <= _PARTS
        for key, speeds in meta["speeds"].items():
            right = right and key.partition("|")[0] in names and latency_of(_timing(speeds)) is not None
            right = right and isinstance(speeds.get("peak_memory_mb"), int | float | None)
    except _NOT_MEASUREMENTS as error:
        problems.append(_not_measurements(path, error))
        return None
    if not right:
        problems.append(
            f"{path}: its note of device, parts and speeds is not that of a bundle's runner; give what `python "
            "BUNDLE.pyz -o FILE` wrote"
        )
    elif meta["fingerprint"] != expected:
        problems.append(
            f"{path}: measured for another audit, or models, images or scenarios have changed since; make the bundle "
            "again and measure anew"
        )
    else:
        return _File(path, meta, outputs)
    return None


def _evaluated(
    plan: Plan,
    specs: Sequence[ModelSpec],
    parts: Mapping[int, _File],
    judging: tuple[str, Mapping[str, OperatingPoint]],
) -> Iterator[CellEvaluation]:
    device, points = judging
    for spec in specs:
        said = {delegate for part in parts.values() for file, delegate, _ in part.outputs if file == spec.name}
        reading = _Reading(plan, spec, facts_of(Path(spec.path)))
        dataset, match = plan.datasets[spec.dataset], plan.subjects.matches[spec.name]
        truth = judged_truth(spec.task, dataset, match.judged)
        for delegate in (on.name for on in plan.subjects.asked_delegates if on.name in said):
            predictions: dict[tuple[str, float], list[ImagePrediction]] = {}
            for part, file in sorted(parts.items()):
                for number, item in enumerate(items(plan, spec, part, len(parts))):
                    found = file.outputs.get((spec.name, delegate, number), {})
                    place = predictions.setdefault((item.scenario, item.severity), [])
                    place.append(reading.prediction(delegate, item, found))
            for (scenario, severity), images in predictions.items():
                cell = Cell(spec.model, spec.name, spec.quantization, delegate, scenario, severity, device=device)
                task = cell_task(cell, spec, dataset, match, truth)
                task = dataclasses.replace(
                    task,
                    predictions=tuple(images),
                    seed=plan.subjects.seed,
                    evaluation=evaluation_at(plan.subjects.evaluation, plan.subjects.points.get(cell.model)),
                    point=point_of(points, cell),
                )
                evaluation = evaluate_cell(task)
                again = Said.of(task) if cell.is_clean and cell.is_declared else None
                yield dataclasses.replace(evaluation, said=again)


class _Reading:
    """What turns a device's raw outputs of one model into predictions."""

    def __init__(self, plan: Plan, spec: ModelSpec, facts: FileFacts) -> None:
        self._plan, self._spec, self._facts = plan, spec, facts
        self._sizes: dict[int, tuple[int, int] | None] = {}

    def prediction(self, delegate: str, item: Item, found: Mapping[int, NDArray[Any]]) -> ImagePrediction:
        """What the model said of an item; as locally, an image that nobody can read is nobody's fault."""
        spec, size = self._spec, self._size(item)
        nothing = ImagePrediction(spec.key, delegate, item.severity, item.record.id)
        if size is None:
            return dataclasses.replace(nothing, error=f"{item.record.path}: cannot be read", scope="image")
        if len(found) != len(self._facts.outputs):
            return dataclasses.replace(nothing, error="the device did not measure this image", scope="model")
        outputs = {}
        for index, tensor in enumerate(self._facts.outputs):
            codes = found[index]
            integer = np.issubdtype(codes.dtype, np.integer) and len(tensor.scales) == 1
            real = dequantize(codes, scale=tensor.scales[0], zero_point=tensor.zero_points[0]) if integer else codes
            outputs[tensor.name] = real
        try:
            values = decoded(spec, outputs, geometry_of(size, spec.input), (size[1], size[0]), orders=True)
        except (ModelError, ValueError, KeyError, IndexError, TypeError) as error:
            return dataclasses.replace(nothing, error=f"{type(error).__name__}: {error}", scope="model")
        return dataclasses.replace(nothing, values=values)

    def _size(self, item: Item) -> tuple[int, int] | None:
        """The (width, height) of an item's image, None where it cannot be read."""
        if item.record.id not in self._sizes:
            try:
                image = read_record(item.record)
                self._sizes[item.record.id] = (image.shape[1], image.shape[0])
            except DataError:
                self._sizes[item.record.id] = None
        return self._sizes[item.record.id]


def _speeds(specs: Sequence[ModelSpec], parts: Mapping[int, _File], device: str) -> Iterator[Measurement]:
    """What the device is, how fast each file is there, and what of it does not depend on the device."""
    first = parts[min(parts)].meta
    about = DeviceFacts(str(first["machine"]), str(first["runtime"]), str(first["python"]))
    yield Measurement("device", "", "", "", about, "", device=device)
    known = {spec.name: spec for spec in specs}
    speeds = {
        key: facts for _, part in sorted(parts.items(), reverse=True) for key, facts in part.meta["speeds"].items()
    }
    for key, facts in speeds.items():
        file, _, delegate = key.partition("|")
        spec = known[file]
        here = Measurement("", file, spec.quantization, delegate, None, "MB", device=device)
        yield dataclasses.replace(here, probe="latency_ms", value=latency_of(_timing(facts)), unit="ms")
        yield dataclasses.replace(here, probe="file_mb", value=spec.size_bytes / 1e6)
        yield dataclasses.replace(here, probe="arena_mb", value=facts_of(Path(spec.path)).arena_bytes / 1e6)
        if facts.get("peak_memory_mb") is not None:
            yield dataclasses.replace(here, probe="peak_memory_mb", value=float(facts["peak_memory_mb"]))


def _timing(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != "peak_memory_mb"}
