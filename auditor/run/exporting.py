"""What was measured, handed on in the forms of other tools: COCO results, FiftyOne samples, node data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from auditor.errors import InputError
from auditor.run.revisiting import Revisited
from auditor.store import save_json
from auditor.tasks.anatomy.cells import CellTask, Said
from auditor.values import AuditResult, Cell, ClassTruth, Detections, GroundTruth, ImageRecord

__all__ = ["export_coco", "export_fiftyone", "export_node_data"]

_LEAST = 0.05
"""Detections below this score are left out where a person looks at them."""


def export_coco(run: Revisited, folder: Path) -> list[Path]:
    """Write the truth of each data set, and of each cell its detections, as COCO's annotations and results; and an
    index of these with what the audit found. The categories are the classes that a model is judged by.

    Source: https://cocodataset.org/#format-data, https://cocodataset.org/#format-results.

    Raises:
        InputError: a cell has no boxes.
        StoreError: a file cannot be written.
    """
    index, written = [], []
    for cell in run.cells:
        task = run.task(cell)
        dataset = run.state.plan.subjects.spec(cell.file).dataset
        if not task.is_labelled or not all(isinstance(found, GroundTruth) for found in task.truth.get().values()):
            raise InputError(f"{cell}: COCO's results are boxes, and it has none that are held against true ones")
        truth = folder / f"truth-{_plain(dataset)}-{_plain(cell.file)}.json"
        if truth not in written:
            save_json(truth, _coco_truth(run, dataset, task))
            written.append(truth)
        path = folder / "results" / f"{_named(cell)}.json"
        save_json(path, list(_coco_results(task)))
        written.append(path)
        found = next(found for found in run.result.cells if found.key == cell)
        where = {"results": str(path.relative_to(folder)), "truth": truth.name}
        index.append({**where, **_key(cell), "metric": found.judged_by, "value": found.value})
    save_json(folder / "index.json", index)
    return [folder / "index.json", *written]


def _key(cell: Cell) -> dict[str, str | float]:
    names = ("model", "file", "quantization", "delegate", "scenario", "severity")
    return {name: getattr(cell, name) for name in names}


def _coco_truth(run: Revisited, dataset: str, task: CellTask) -> dict[str, Any]:
    records = {record.id: record for record in run.state.plan.datasets[dataset].images}
    annotations: list[dict[str, Any]] = []
    for image_id, found in task.truth.get().items():
        for box, label, area, crowd in zip(found.boxes, found.labels, found.area, found.iscrowd, strict=True):
            left, top, right, bottom = (float(value) for value in box)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(label) + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": float(area),
                    "iscrowd": int(crowd),
                }
            )
    images = [
        {"id": image_id, "file_name": str(records[image_id].path), **_size(records[image_id])}
        for image_id in task.truth.get()
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(task.judged, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _size(record: ImageRecord) -> dict[str, int]:
    return {} if record.size is None else {"width": record.size[0], "height": record.size[1]}


def _coco_results(task: CellTask) -> Iterator[dict[str, Any]]:
    known = task.truth.get()
    for image_id, found in Said.of(task):
        if image_id not in known:
            continue
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
            left, top, right, bottom = (float(value) for value in box)
            yield {
                "image_id": image_id,
                "category_id": int(label) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "score": float(score),
            }


def export_fiftyone(run: Revisited, folder: Path) -> list[Path]:
    """Write a data set of FiftyOne: a sample for each image, with a field for the truth and one for each cell.

    It is loaded by `fo.Dataset.from_dir(FOLDER, fo.types.LegacyFiftyOneDataset)`. Boxes are relative to the annotated
    size, so that images without one are left out. Source:
    https://docs.voxel51.com/api/fiftyone.types.dataset_types.html, `Sample.from_dict`.

    Raises:
        InputError: no image has a size to which boxes are relative.
        StoreError: a file cannot be written.
    """
    samples: dict[tuple[str, int], dict[str, Any]] = {}
    for cell in run.cells:
        task = run.task(cell)
        name = run.state.plan.subjects.spec(cell.file).dataset
        records = {record.id: record for record in run.state.plan.datasets[name].images}
        truth = task.truth.get()
        for image_id, found in Said.of(task):
            record = records[image_id]
            if image_id not in truth or (record.size is None and isinstance(found, Detections)):
                continue
            sample = samples.setdefault((name, image_id), {"filepath": str(record.path.absolute()), "tags": [name]})
            told = _fiftyone_truth(truth[image_id], task, record)
            if told is not None:
                sample["truth"] = told
            sample[_plain(_named(cell))] = _fiftyone_said(found, task, record)
    if not samples:
        raise InputError("no image has an annotated size, to which FiftyOne's boxes are relative")
    save_json(folder / "samples.json", {"samples": list(samples.values())})
    save_json(folder / "metadata.json", {"name": run.result.name, "media_type": "image"})
    return [folder / "samples.json", folder / "metadata.json"]


def _fiftyone_truth(found: GroundTruth | ClassTruth | None, task: CellTask, record: ImageRecord) -> Any:
    if isinstance(found, ClassTruth):
        return None if found.label is None else {"_cls": "Classification", "label": task.judged[found.label]}
    if not isinstance(found, GroundTruth) or record.size is None:
        return None
    crowds = found.iscrowd.tolist()
    detections = [
        {"_cls": "Detection", "label": task.judged[int(label)], "bounding_box": _relative(box, record.size)}
        | ({"iscrowd": True} if crowd else {})
        for box, label, crowd in zip(found.boxes, found.labels, crowds, strict=True)
    ]
    return {"_cls": "Detections", "detections": detections}


def _fiftyone_said(found: Any, task: CellTask, record: ImageRecord) -> dict[str, Any]:
    if isinstance(found, Detections):
        keep = np.nonzero(found.scores >= _LEAST)[0].tolist()
        detections = [
            {
                "_cls": "Detection",
                "label": task.judged[int(found.labels[index])],
                "bounding_box": _relative(found.boxes[index], record.size or (1, 1)),
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
    return [_node_data(folder / f"{_plain(name)}.json", name, values) for name, values in found.items()]


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
    """A cell as a file name."""
    severity = "" if cell.is_clean else f"__{cell.severity:g}"
    return f"{_plain(cell.file)}__{_plain(cell.delegate)}__{_plain(cell.scenario)}{severity}"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
