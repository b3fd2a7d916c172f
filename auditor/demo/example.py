"""Write the embedded example to a folder: scenes, their truth, the detector and an `audit.yaml` to run."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

import cv2

from auditor.boxes import to_xywh
from auditor.demo.clips import write_clip_example
from auditor.demo.scenes import CLASSES, render_scene
from auditor.store import save_bytes, save_json, save_text

__all__ = ["write_example"]

IMAGES = 48

_AUDIT = """\
# The embedded example: a detector of six kinds of objects that was trained on clean, evenly lit scenes alone, and its
# quantization levels, one of them trained on with quantization in the loop (int8_qat).
name: "auditor demo: a detector that has only seen good light"
seed: 7
dataset:
  format: coco
  images: images
  annotations: instances.json
models:
  - name: demo_detector
    path: detector_float32.tflite
    decoder: yolov8
    labels: labels.txt
    input: {color: rgb, mean: 0, std: 255, resize: letterbox, anchor: center, pad: 114}
  - {name: demo_float16, variant_of: demo_detector, path: detector_float16.tflite}
  - {name: demo_dynamic, variant_of: demo_detector, path: detector_dynamic.tflite}
  - {name: demo_int8, variant_of: demo_detector, path: detector_int8.tflite}
  - {name: demo_int8_qat, variant_of: demo_detector, quantization: int8_qat, path: detector_int8_qat.tflite}
scenarios: [lighting, resolution, noise]
severities: [1, 3, 5]
breaking_points:
  metric: recall
  max_drop: 0.10
  scenarios: [lighting/low_light, lighting/overexposure, noise/gaussian]
gallery: {images: 4, width: 360, megabytes: 0.4}
gates:
  - {metric: AP, scenario: clean, min: 0.60}
  - {metric: AP, scenario: clean, max_drop: 0.08, against: float32}
  - {metric: rPC, min: 0.60}
  - {metric: AP, scenario: lighting, severity: 1, max_drop: 0.10, against: clean}
  - {metric: AP, scenario: noise, severity: 3, max_drop: 0.30, against: clean}
  - {breaking_point: lighting/low_light, at_least: -2.0}
"""


def write_example(folder: Path, *, clip: bool = False) -> Path:
    """Write the example, or that of a `clip`, into `folder`, replacing what an earlier run left there; return its
    `audit.yaml`.

    Raises:
        InputError: a clip is asked for, and PyAV is not installed.
        StoreError: the folder cannot be written.
    """
    if clip:
        return write_clip_example(folder)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for seed in range(IMAGES):
        image, truth = render_scene(seed)
        name = f"scene_{seed:03d}.png"
        save_bytes(folder / "images" / name, cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())
        images.append({"id": seed + 1, "file_name": name, "width": image.shape[1], "height": image.shape[0]})
        for box, area, label in zip(to_xywh(truth.boxes), truth.area, truth.labels, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": seed + 1,
                    "category_id": int(label) + 1,
                    "bbox": box.tolist(),
                    "area": float(area),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)]
    save_json(folder / "instances.json", {"images": images, "annotations": annotations, "categories": categories})
    save_text(folder / "labels.txt", "\n".join(CLASSES) + "\n")
    for model in importlib.resources.files("auditor.demo").joinpath("models").iterdir():
        save_bytes(folder / model.name, model.read_bytes())
    save_text(folder / "audit.yaml", _AUDIT)
    return folder / "audit.yaml"
