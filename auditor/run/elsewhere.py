"""Measuring on another device: pack a bundle for it, and judge what it sends back beside what is measured here."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
import io
import json
import math
import tempfile
import zipfile
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.config import delegate_name, load_audit
from auditor.corruptions.corrupt import corrupt
from auditor.datasets.images import read_record
from auditor.errors import DataError, InputError, ModelError, ScenarioError
from auditor.evaluate.cells import CellEvaluation, evaluate_cell
from auditor.evaluate.differences import with_differences
from auditor.models.contract import dequantize, encode, geometry_of
from auditor.models.graph import Graph, load_graph
from auditor.models.inspect import arena_bytes
from auditor.models.keras import PARENT
from auditor.models.postprocess import postprocess
from auditor.models.resolve import input_shape_of
from auditor.plan import Plan, make_plan
from auditor.provenance import digest, image_seed
from auditor.quantize import FLOAT_HEAD
from auditor.run.evaluating import cell_task
from auditor.run.levels import with_levels
from auditor.run.progress import Progress
from auditor.store import ImagePrediction, check_writable, save_bytes
from auditor.values import EVIDENCE_LEVELS, Cell, CellResult, ClassScores, ImageRecord, Measurement, ModelSpec

__all__ = ["Elsewhere", "load_elsewhere", "write_bundle"]

_KERNELS = ("none", "xnnpack")
"""What any device's interpreter has; other delegates are the device's own."""
_SAMPLED = 4
_MOST_PARTS = 200


@dataclass(frozen=True)
class _Item:
    """One input: which image, corrupted how."""

    record: ImageRecord
    scenario: str
    severity: float


def write_bundle(audit: Path, bundle: Path, *, limit_mb: float, say: Callable[[str], None]) -> list[Path]:
    """Pack everything that another device needs into one zipapp, or several where they would be larger than `limit_mb`.

    Raises:
        InputError: with every problem of the document and of all that it names; nothing was written then.
    """
    config = load_audit(audit)
    check_writable(bundle.parent)
    if bundle.suffix != ".pyz" or (bundle.exists() and not zipfile.is_zipfile(bundle)):
        raise InputError(
            f"--bundle {bundle}: expected the name of a .pyz file that is to be written, or of an earlier bundle"
        )
    left_out = [delegate_name(delegate) for delegate in config.delegates if delegate not in _KERNELS]
    if len(left_out) == len(config.delegates):
        raise InputError(
            f"{config.source.where('delegates')}: a bundle runs none and xnnpack, which any interpreter has; "
            f"{', '.join(left_out)} must be audited on the device itself"
        )
    plan = make_plan(config)
    with tempfile.TemporaryDirectory() as folder:
        plan = with_levels(plan, Path(folder), _Sayer(say))
        specs = _packed(plan)
        if not specs:
            raise InputError(
                f"{audit}: none of its models is a .tflite file, or has a level that is; there is nothing to send"
            )
        every = max(len(dataset.images) for dataset in plan.datasets.values())
        models_mb = sum(spec.size_bytes for spec in specs) / 1e6
        inputs_mb = _estimate(plan, specs)
        parts = min(every, _MOST_PARTS, max(1, math.ceil(inputs_mb / max(limit_mb - models_mb, 0.1 * limit_mb))))
        split = (
            f", in {parts} parts of about {models_mb + inputs_mb / parts:.1f} MB that each carry the models"
            if parts > 1
            else ""
        )
        say(f"about {models_mb + inputs_mb:.1f} MB of models and inputs{split}")
        if left_out:
            say(f"left out, since a bundle runs none and xnnpack alone: {', '.join(left_out)}")
        written = []
        for part in range(parts):
            path = bundle if parts == 1 else bundle.with_name(f"{bundle.stem}-{part + 1}{bundle.suffix}")
            save_bytes(path, _packed_bytes(plan, specs, part, parts))
            written.append(path)
    return written


class _Sayer:
    """A progress that says, and draws nothing."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def start(self, *, cells: int, images: int) -> None: ...

    def measured(self, *, images: int) -> None: ...

    def evaluated(self, *, cells: int) -> None: ...


def _packed(plan: Plan) -> list[ModelSpec]:
    """The files that are sent: `.tflite` models and the levels that the audit asks for, not the remedies it finds on
    its way."""
    return [spec for spec in plan.specs if spec.quantization not in (PARENT, FLOAT_HEAD, *EVIDENCE_LEVELS)]


def _items(plan: Plan, spec: ModelSpec, part: int, parts: int) -> Iterator[_Item]:
    for index, record in enumerate(plan.datasets[spec.dataset].images):
        if index % parts == part:
            yield _Item(record, "clean", 0)
            for scenario in plan.scenarios:
                for severity in plan.severities:
                    yield _Item(record, scenario.key, severity)


def _tensor(plan: Plan, spec: ModelSpec, item: _Item, image: NDArray[np.uint8]) -> NDArray[Any]:
    scenario = next((found for found in plan.scenarios if found.key == item.scenario), None)
    seed = image_seed(plan.config.seed, item.scenario, item.record.id)
    seen = image if scenario is None else corrupt(image, scenario, severity=item.severity, seed=seed)
    return encode(seen, spec.input)[0]


def _estimate(plan: Plan, specs: Sequence[ModelSpec]) -> float:
    """Megabytes of all inputs, as large as a few of them are when compressed."""
    total = 0.0
    seen = set()
    for spec in specs:
        if (spec.dataset, spec.input) in seen:
            continue
        seen.add((spec.dataset, spec.input))
        images = plan.datasets[spec.dataset].images
        sizes = []
        for record in images[:_SAMPLED]:
            buffer = io.BytesIO()
            try:
                np.savez_compressed(buffer, _tensor(plan, spec, _Item(record, "clean", 0), read_record(record)))
            except DataError:
                continue
            sizes.append(buffer.tell())
        total += float(np.mean(sizes or [0])) * len(images) * (1 + len(plan.scenarios) * len(plan.severities)) / 1e6
    return total


def _packed_bytes(plan: Plan, specs: Sequence[ModelSpec], part: int, parts: int) -> bytes:
    buffer = io.BytesIO()
    buffer.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "__main__.py", importlib.resources.files("auditor.models").joinpath("bundle_runner.py").read_bytes()
        )
        kept: set[str] = set()
        models = []
        for spec in specs:
            if f"models/{spec.sha256}.tflite" not in kept:
                kept.add(f"models/{spec.sha256}.tflite")
                archive.write(spec.path, f"models/{spec.sha256}.tflite")
            items = []
            last: tuple[int, NDArray[np.uint8]] | None = None
            for number, item in enumerate(_items(plan, spec, part, parts)):
                try:
                    if last is None or last[0] != item.record.id:
                        last = (item.record.id, read_record(item.record))
                    tensor = _tensor(plan, spec, item, last[1])
                except (DataError, ScenarioError):
                    continue  # it is missing there as it is here, and counted when it is judged
                content = io.BytesIO()
                np.save(content, tensor)
                name = hashlib.sha256(content.getvalue()).hexdigest()[:32]
                if f"inputs/{name}.npy" not in kept:
                    kept.add(f"inputs/{name}.npy")
                    archive.writestr(f"inputs/{name}.npy", content.getvalue())
                items.append({"number": number, "input": name})
            graph = load_graph(Path(spec.path))
            shape = input_shape_of(graph, spec.input) or graph.tensors[graph.inputs[0]].shape
            models.append({"name": spec.name, "sha256": spec.sha256, "shape": list(shape), "items": items})
        delegates = [delegate for delegate in plan.config.delegates if delegate in _KERNELS]
        document = {
            "fingerprint": _fingerprint(plan, specs),
            "part": part,
            "parts": parts,
            "models": models,
            "delegates": delegates,
        }
        archive.writestr("plan.json", json.dumps(document))
    return buffer.getvalue()


def _fingerprint(plan: Plan, specs: Sequence[ModelSpec]) -> str:
    """What a measurement is of: the models, the images and truth, the scenarios and the seed."""
    return digest(
        [(spec.name, spec.sha256, spec.input) for spec in specs],
        [plan.datasets[name].fingerprint for name in sorted(plan.datasets)],
        [(scenario.key, scenario.version, scenario.knobs, scenario.transforms) for scenario in plan.scenarios],
        [plan.severities, plan.config.seed],
    )


# ------------------------------------------------------------------------------------------------------- what came back


@dataclass(frozen=True)
class Elsewhere:
    """What another device measured: its cells, with differences among themselves, and its speeds."""

    cells: tuple[CellResult, ...]
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True)
class _File:
    """One file that a bundle's runner wrote: its note, and raw outputs by (model file, delegate, number of the
    item)."""

    meta: Mapping[str, Any]
    outputs: Mapping[tuple[str, str, int], Mapping[int, NDArray[Any]]]


def load_elsewhere(plan: Plan, files: Sequence[Path], progress: Progress) -> Elsewhere:
    """Decode, evaluate and compare the raw outputs that bundles' runners wrote: the parts of one device, or of several.

    Raises:
        InputError: a file is not such a file, is of another audit, or a part is missing or stands twice.
    """
    specs = _packed(plan)
    problems: list[str] = []
    devices: dict[str, dict[int, _File]] = {}
    for path in files:
        found = _load(path, _fingerprint(plan, specs), {spec.name for spec in specs}, problems)
        if found is not None:
            known = devices.setdefault(str(found.meta["device"]), {})
            if int(found.meta["part"]) in known:
                problems.append(
                    f"{path}: part {found.meta['part'] + 1} of {found.meta['device']} is given twice; give each "
                    "device another --device, and each part once"
                )
            known[int(found.meta["part"])] = found
    for device, parts in devices.items():
        total = int(next(iter(parts.values())).meta["parts"])
        missing = [str(part + 1) for part in range(total) if part not in parts]
        if missing:
            problems.append(
                f"--measurements: of {device} the parts {', '.join(missing)} of {total} are missing; measure them "
                "too, and give all"
            )
    if problems:
        raise InputError(problems)
    cells: list[CellResult] = []
    measurements: list[Measurement] = []
    for device, parts in devices.items():
        evaluations = {found.result.cell: found for found in _evaluated(plan, specs, parts, device, progress)}
        cells += with_differences([found.result for found in evaluations.values()], evaluations)
        measurements += _speeds(specs, parts, device)
    return Elsewhere(tuple(cells), tuple(measurements))


def _load(path: Path, fingerprint: str, names: Container[str], problems: list[str]) -> _File | None:
    try:
        with np.load(path, allow_pickle=False) as loaded:
            meta = json.loads(bytes(loaded["meta"]).decode())
            arrays = {name: loaded[name] for name in loaded.files if name != "meta"}
        outputs: dict[tuple[str, str, int], dict[int, NDArray[Any]]] = {}
        for name, array in arrays.items():
            file, delegate, number, index = name.split("|")
            outputs.setdefault((file, delegate, int(number)), {})[int(index)] = array
        right = all(isinstance(meta[key], kind) for key, kind in _META.items()) and meta["device"].strip() not in (
            "",
            "local",
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        problems.append(
            f"{path}: not the measurements of a bundle ({type(error).__name__}); give what `python BUNDLE.pyz -o "
            "FILE` wrote"
        )
        return None
    if not right or any(key.partition("|")[0] not in names for key in meta["speeds"]):
        problems.append(
            f"{path}: its note of device, parts and speeds is not that of a bundle's runner; give what `python "
            "BUNDLE.pyz -o FILE` wrote"
        )
    elif meta["fingerprint"] != fingerprint:
        problems.append(
            f"{path}: measured for another audit, or models, images or scenarios have changed since; make the bundle "
            "again and measure anew"
        )
    else:
        return _File(meta, outputs)
    return None


_META = {
    "fingerprint": str,
    "device": str,
    "part": int,
    "parts": int,
    "speeds": dict,
    "machine": str,
    "runtime": str,
    "python": str,
}


def _evaluated(
    plan: Plan, specs: Sequence[ModelSpec], parts: Mapping[int, _File], device: str, progress: Progress
) -> Iterator[CellEvaluation]:
    total = len(parts)
    for spec in specs:
        graph = load_graph(Path(spec.path))
        said = {delegate for part in parts.values() for file, delegate, _ in part.outputs if file == spec.name}
        for delegate in (name for name in map(delegate_name, plan.config.delegates) if name in said):
            predictions: dict[tuple[str, float], list[ImagePrediction]] = {}
            for part, file in sorted(parts.items()):
                for number, item in enumerate(_sized(plan, spec, part, total)):
                    found = file.outputs.get((spec.name, delegate, number), {})
                    predictions.setdefault((item[0].scenario, item[0].severity), []).append(
                        _prediction(spec, graph, delegate, item, found)
                    )
            for (scenario, severity), items in predictions.items():
                cell = Cell(spec.model, spec.name, spec.quantization, delegate, scenario, severity, device=device)
                yield evaluate_cell(dataclasses.replace(cell_task(plan, cell), predictions=tuple(items)))
                progress.evaluated(cells=1)


def _sized(plan: Plan, spec: ModelSpec, part: int, parts: int) -> Iterator[tuple[_Item, tuple[int, int] | None]]:
    """The items of a bundle in its order, with the (width, height) of their images, None of those that cannot be
    read."""
    sizes: dict[int, tuple[int, int] | None] = {}
    for item in _items(plan, spec, part, parts):
        if item.record.id not in sizes:
            try:
                image = read_record(item.record)
                sizes[item.record.id] = (image.shape[1], image.shape[0])
            except DataError:
                sizes[item.record.id] = None
        yield item, sizes[item.record.id]


def _prediction(
    spec: ModelSpec,
    graph: Graph,
    delegate: str,
    item: tuple[_Item, tuple[int, int] | None],
    found: Mapping[int, NDArray[Any]],
) -> ImagePrediction:
    place, size = item
    nothing: NDArray[Any] = np.zeros(0)
    empty = ImagePrediction(
        spec.key, delegate, place.severity, place.record.id, nothing.reshape(0, 4), nothing, nothing.astype(np.int64)
    )
    if size is None:
        return dataclasses.replace(empty, error=f"{place.record.path}: cannot be read", scope="image")
    if len(found) != len(graph.outputs):
        return dataclasses.replace(empty, error="the device did not measure this image", scope="model")
    values = {}
    for index, (name, tensor) in enumerate(zip(graph.output_names(), graph.outputs, strict=True)):
        facts, codes = graph.tensors[tensor], found[index]
        integer = np.issubdtype(codes.dtype, np.integer) and len(facts.scales) == 1
        values[name] = dequantize(codes, scale=facts.scales[0], zero_point=facts.zero_points[0]) if integer else codes
    try:
        decoded = extensions.resolve("decoders", spec.decoder)(values, spec)
    except (ModelError, ValueError, KeyError, IndexError, TypeError) as error:
        return dataclasses.replace(empty, error=f"{type(error).__name__}: {error}", scope="model")
    if isinstance(decoded, ClassScores):
        return dataclasses.replace(empty, scores=decoded.scores)
    kept = postprocess(decoded, spec.postprocess, geometry=geometry_of(size, spec.input), image_size=(size[1], size[0]))
    return dataclasses.replace(empty, boxes=kept.boxes, scores=kept.scores, labels=kept.labels)


def _speeds(specs: Sequence[ModelSpec], parts: Mapping[int, _File], device: str) -> Iterator[Measurement]:
    """What the device is, how fast each file is there, and what of it does not depend on the device."""
    first = parts[min(parts)].meta
    yield Measurement(
        "device", "", "", "", {key: first[key] for key in ("machine", "runtime", "python")}, "", device=device
    )
    known = {spec.name: spec for spec in specs}
    for key, facts in {
        key: facts for _, part in sorted(parts.items(), reverse=True) for key, facts in part.meta["speeds"].items()
    }.items():
        file, _, delegate = key.partition("|")
        spec = known[file]
        latency = {name: value for name, value in facts.items() if name != "peak_memory_mb"}
        yield Measurement("latency_ms", file, spec.quantization, delegate, latency, "ms", device=device)
        yield Measurement("file_mb", file, spec.quantization, delegate, spec.size_bytes / 1e6, "MB", device=device)
        yield Measurement(
            "arena_mb",
            file,
            spec.quantization,
            delegate,
            arena_bytes(load_graph(Path(spec.path))) / 1e6,
            "MB",
            device=device,
        )
        if facts.get("peak_memory_mb") is not None:
            yield Measurement(
                "peak_memory_mb", file, spec.quantization, delegate, facts["peak_memory_mb"], "MB", device=device
            )
