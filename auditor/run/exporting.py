"""What was measured, handed on in the forms of other tools: COCO results, FiftyOne samples, node data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from auditor.corruptions.corrupt import moves
from auditor.datasets.image_files import read_record
from auditor.errors import InputError
from auditor.run.revisiting import Revisited
from auditor.store import save_bytes, save_json
from auditor.tasks.anatomy.cells import CellTask, Said
from auditor.values import AuditResult, Cell, ClassTruth, Detections, GroundTruth, ImageRecord

__all__ = ["export_coco", "export_fiftyone", "export_node_data"]

_LEAST = 0.05
"""Detections below this score are left out where a person looks at them."""


def export_coco(run: Revisited, folder: Path) -> list[Path]:
    """Write the truth of each model's judged classes, and of each cell its detections, as COCO's annotations and
    results; and an index of these with what the audit found. Images are numbered in the order in which equal scores of
    different images are ranked, so that pycocotools gives the same AP, to the last bit; `auditor_id` is the audit's.

    Source: https://cocodataset.org/#format-data, https://cocodataset.org/#format-results.

    Raises:
        InputError: a cell has no boxes.
        StoreError: a file cannot be written.
    """
    index: list[dict[str, Any]] = []
    truths: dict[tuple[str, str], Path] = {}
    moving = _moving(run)
    if {cell.scenario for cell in run.cells} & set(moving):
        run.session.progress.say(
            "boxes of scenarios that move things lie on the moved pictures, which are not kept: `file_name` is the one "
            "that they are made of"
        )
    results = {found.key: found for found in run.result.cells}
    names = _distinct([_named(cell) for cell in run.cells])
    files = _distinct(dict.fromkeys(cell.file for cell in run.cells))
    written = []
    for cell, name in zip(run.cells, names, strict=True):
        task = run.task(cell)
        if not task.is_labelled or not all(isinstance(found, GroundTruth) for found in task.truth.get().values()):
            raise InputError(f"{cell}: COCO's results are boxes, and it has none that are held against true ones")
        moved = f"{cell.scenario} {cell.severity:g}" if cell.scenario in moving else ""
        if (cell.file, moved) not in truths:
            place = list(dict.fromkeys(other.file for other in run.cells)).index(cell.file)
            stem = f"{files[place]}{f'-{_plain(moved)}' if moved else ''}"
            truths[cell.file, moved] = folder / f"truth-{stem}.json"
            save_json(truths[cell.file, moved], _coco_truth(run, task))
            written.append(truths[cell.file, moved])
        path = folder / "results" / f"{name}.json"
        save_json(path, list(_coco_results(task)))
        written.append(path)
        found = results[cell]
        where = {"results": str(path.relative_to(folder)), "truth": truths[cell.file, moved].name}
        index.append({**where, **_key(cell), "metric": found.judged_by, "value": found.value})
    save_json(folder / "index.json", index)
    return [folder / "index.json", *written]


def _moving(run: Revisited) -> list[str]:
    """The scenarios that move what is on an image."""
    return [scenario.key for scenario in run.state.plan.subjects.scenarios if moves(scenario)]


def _distinct(names: Iterable[str]) -> list[str]:
    """These names as file names, told apart by a number where they would be the same.

    >>> _distinct(["a-b", "a.b", "c"])
    ['a_b', 'a_b_2', 'c']
    """
    counts: Counter[str] = Counter()
    found = []
    for name in names:
        plain = _plain(name)
        counts[plain.lower()] += 1
        found.append(plain if counts[plain.lower()] == 1 else f"{plain}_{counts[plain.lower()]}")
    return found


def _key(cell: Cell) -> dict[str, str | float]:
    names = ("model", "file", "quantization", "delegate", "scenario", "severity")
    return {name: getattr(cell, name) for name in names}


def _coco_truth(run: Revisited, task: CellTask) -> dict[str, Any]:
    dataset = run.state.plan.subjects.spec(task.cell.file).dataset
    records = {record.id: record for record in run.state.plan.datasets[dataset].images}
    numbers = _numbers(task)
    annotations: list[dict[str, Any]] = []
    for image_id, found in task.truth.get().items():
        each = zip(found.boxes, found.labels, found.area, found.iscrowd, strict=True)
        for place, (box, label, area, crowd) in enumerate(each):
            left, top, right, bottom = (float(value) for value in box)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": numbers[image_id],
                    "category_id": int(label) + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": float(area),
                    "iscrowd": int(crowd),
                }
            )
            if found.tracks is not None and found.tracks[place] >= 0:
                annotations[-1]["instance_id"] = int(found.tracks[place])
    images = [
        {
            "id": numbers[image_id],
            "auditor_id": image_id,
            "file_name": str(records[image_id].path),
            **_size(records[image_id]),
            **({} if records[image_id].moment is None else {"video_id": 1, "frame_id": image_id - 1}),
        }
        for image_id in task.truth.get()
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(task.judged, start=1)]
    clips = {record.path.stem for record in records.values() if record.moment is not None}
    videos = {"videos": [{"id": 1, "name": name} for name in clips]} if clips else {}
    return {**videos, "images": images, "annotations": annotations, "categories": categories}


def _numbers(task: CellTask) -> dict[int, int]:
    """By image id its number, from 1 on, in the order of the truth: pycocotools ranks equal scores by ascending ids."""
    return {image_id: number for number, image_id in enumerate(task.truth.get(), start=1)}


def _size(record: ImageRecord) -> dict[str, int]:
    return {} if record.size is None else {"width": record.size[0], "height": record.size[1]}


def _coco_results(task: CellTask) -> Iterator[dict[str, Any]]:
    numbers = _numbers(task)
    for image_id, found in Said.of(task):
        if image_id not in numbers:
            continue
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
            left, top, right, bottom = (float(value) for value in box)
            yield {
                "image_id": numbers[image_id],
                "category_id": int(label) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "score": float(score),
            }


def export_fiftyone(run: Revisited, folder: Path) -> list[Path]:
    """Write a data set of FiftyOne: a sample for each image, with a field for the truth of each file's classes and one
    for each cell. Images that are no files of their own are written beside it.

    It is loaded by `fo.Dataset.from_dir(FOLDER, fo.types.LegacyFiftyOneDataset)`. Source:
    https://docs.voxel51.com/api/fiftyone.types.dataset_types.html, `Sample.from_dict`.

    Cells of scenarios that move what is on an image are left out, since a sample is the original image.

    Raises:
        DataError: an image cannot be read, whose annotations have no size.
        InputError: nothing is left.
        StoreError: a file cannot be written.
    """
    samples: dict[tuple[str, int], dict[str, Any]] = {}
    sizes: dict[tuple[str, int], tuple[int, int]] = {}
    moving = _moving(run)
    cells = [cell for cell in run.cells if cell.scenario not in moving]
    if len(cells) < len(run.cells):
        told = f"{', '.join(moving)} moves what is on an image, and FiftyOne shows the original one"
        if not cells:
            raise InputError(f"{told}; name other scenarios")
        run.session.progress.say(f"{told}: its cells are left out")
    files = list(dict.fromkeys(cell.file for cell in cells))
    truths = dict(zip(files, _distinct(files), strict=True))
    for cell, field in zip(cells, _distinct([_named(cell) for cell in cells]), strict=True):
        task = run.task(cell)
        name = run.state.plan.subjects.spec(cell.file).dataset
        records = {record.id: record for record in run.state.plan.datasets[name].images}
        truth = task.truth.get()
        for image_id, found in Said.of(task):
            if image_id not in truth:
                continue
            key = (name, image_id)
            if key not in samples:
                sizes[key] = _pixels(records[image_id])
                samples[key] = {"filepath": _file_of(records[image_id], name, folder), "tags": [name]}
            told = _fiftyone_truth(truth[image_id], task, sizes[key])
            if told is not None:
                samples[key]["truth" if len(files) == 1 else f"truth_{truths[cell.file]}"] = told
            samples[key][field] = _fiftyone_said(found, task, sizes[key])
    save_json(folder / "samples.json", {"samples": list(samples.values())})
    save_json(folder / "metadata.json", {"name": run.result.name, "media_type": "image"})
    return [folder / "samples.json", folder / "metadata.json"]


def _pixels(record: ImageRecord) -> tuple[int, int]:
    """The width and height of an image."""
    if record.size is not None:
        return record.size
    height, width = read_record(record).shape[:2]
    return width, height


def _file_of(record: ImageRecord, dataset: str, folder: Path) -> str:
    """The file of an image; one of many in a file is written as a PNG of its own."""
    if record.index is None:
        return str(record.path.absolute())
    path = folder / "images" / f"{_plain(dataset)}-{record.id}.png"
    _, content = cv2.imencode(".png", cv2.cvtColor(read_record(record), cv2.COLOR_RGB2BGR))
    save_bytes(path, content.tobytes())
    return str(path.absolute())


def _fiftyone_truth(found: GroundTruth | ClassTruth | None, task: CellTask, size: tuple[int, int]) -> Any:
    if isinstance(found, ClassTruth):
        return None if found.label is None else {"_cls": "Classification", "label": task.judged[found.label]}
    if not isinstance(found, GroundTruth):
        return None
    crowds = found.iscrowd.tolist()
    detections = [
        {"_cls": "Detection", "label": task.judged[int(label)], "bounding_box": _relative(box, size)}
        | ({"iscrowd": True} if crowd else {})
        for box, label, crowd in zip(found.boxes, found.labels, crowds, strict=True)
    ]
    return {"_cls": "Detections", "detections": detections}


def _fiftyone_said(found: Any, task: CellTask, size: tuple[int, int]) -> dict[str, Any]:
    if isinstance(found, Detections):
        keep = np.nonzero(found.scores >= _LEAST)[0].tolist()
        detections = [
            {
                "_cls": "Detection",
                "label": task.judged[int(found.labels[index])],
                "bounding_box": _relative(found.boxes[index], size),
                "confidence": float(found.scores[index]),
            }
            for index in keep
        ]
        return {"_cls": "Detections", "detections": detections}
    best = int(np.argmax(found.scores))
    judged = int(found.to_judged[best])
    label = task.judged[judged] if judged >= 0 else "a class that is not judged"
    return {"_cls": "Classification", "label": label, "confidence": float(found.scores[best])}


def _relative(box: Any, size: tuple[int, int]) -> list[float]:
    left, top, right, bottom = (float(value) for value in box)
    return [left / size[0], top / size[1], (right - left) / size[0], (bottom - top) / size[1]]


def export_node_data(result: AuditResult, folder: Path) -> list[Path]:
    """Write, for each file of which layers were looked at, node data of Model Explorer: by output tensor the
    signal-to-noise ratio in dB against its reference, from red (most noise) to green. It is shown over the file's graph
    by `model-explorer FILE --node_data_paths …`, or uploaded there.

    Source: `GraphNodeData` of ai-edge-model-explorer 0.1.34; the graph of a TFLite file is called main.

    Raises:
        InputError: no layer of any file was looked at.
        StoreError: a file cannot be written.
    """
    found: dict[str, dict[str, float]] = {}
    for model in result.models:
        for layer in model.diagnosis.layers:
            if layer.sqnr_db is not None:
                found.setdefault(f"{model.name} against float", {})[layer.tensor] = layer.sqnr_db
    for drift in result.drifts:
        for row in (*drift.worst, *([drift.first] if drift.first else [])):
            if row.sqnr_db is not None:
                name = f"{drift.file} on {drift.delegate} against {drift.against}"
                found.setdefault(name, {})[row.tensor] = row.sqnr_db
    if not found:
        raise InputError(
            "no layer of any file was looked at: that is done where a level loses, or a delegate or level departs "
            "(`checks: {quantization: {max_loss: …}}` says from which loss on)"
        )
    named = zip(found.items(), _distinct(found), strict=True)
    return [_node_data(folder / f"{file}.json", name, values) for (name, values), file in named]


def _node_data(path: Path, name: str, values: Mapping[str, float]) -> Path:
    gradient = [
        {"stop": 0, "bgColor": "#d9534f"},
        {"stop": 0.5, "bgColor": "#f0d264"},
        {"stop": 1, "bgColor": "#7ac07a"},
    ]
    results = {tensor: {"value": value} for tensor, value in values.items()}
    save_json(path, {"main": {"name": f"{name}, SNR in dB", "results": results, "gradient": gradient}})
    return path


def _named(cell: Cell) -> str:
    """What a cell is called."""
    severity = "" if cell.is_clean else f" {cell.severity:g}"
    return f"{cell.file} {cell.delegate} {cell.scenario}{severity}"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
