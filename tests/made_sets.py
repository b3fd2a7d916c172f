"""One set of rendered scenes, written down in several formats, orders and numberings."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np

from auditor.boxes import to_xywh
from auditor.demo.scenes import CLASSES, render_scene
from auditor.values import GroundTruth

Scene = tuple[np.ndarray, GroundTruth]


def scenes(count: int, first: int = 5000) -> list[Scene]:
    """Scenes whose boxes are whole pixels from 1 on, so that every format holds them exactly."""
    found = []
    for index in range(count):
        image, truth = render_scene(first + index)
        height, width = image.shape[:2]
        low = np.clip(np.floor(truth.boxes[:, :2]), 1, None)
        high = np.minimum(np.ceil(truth.boxes[:, 2:]), [width - 1, height - 1])
        boxes = np.concatenate([low, high], axis=1)
        area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        found.append((image, GroundTruth(boxes, truth.labels, area, truth.iscrowd)))
    return found


def write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def write_coco(folder: Path, found: list[Scene], *, order: list[int] | None = None, first_id: int = 1) -> str:
    """COCO with images numbered in `order`; returns the line of `dataset:`."""
    order = order or list(range(len(found)))
    images, annotations = [], []
    for number, index in enumerate(order):
        image, truth = found[index]
        name = f"{number:03d}.png"
        write_image(folder / "images" / name, image)
        image_id = first_id + 7 * number
        images.append({"id": image_id, "file_name": name, "width": image.shape[1], "height": image.shape[0]})
        for box, label in zip(to_xywh(truth.boxes).tolist()[::-1], truth.labels.tolist()[::-1], strict=True):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image_id, "category_id": label + 3, "bbox": box, "iscrowd": 0}
            )
    categories = [{"id": index + 3, "name": name} for index, name in enumerate(CLASSES)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(document))
    return "{format: coco, images: images, annotations: instances.json}"


def write_yolo(folder: Path, found: list[Scene]) -> str:
    for index, (image, truth) in enumerate(found):
        stem = f"frame_{len(found) - index:03d}"
        write_image(folder / "images" / "val" / f"{stem}.png", image)
        height, width = image.shape[:2]
        lines = []
        for (x0, y0, x1, y1), label in zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True):
            values = (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height
            lines.append(" ".join([str(label), *(f"{value:.17g}" for value in values)]))
        path = folder / "labels" / "val" / f"{stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines))
    (folder / "data.yaml").write_text(f"path: .\nval: images/val\nnames: [{', '.join(CLASSES)}]\n")
    return "{format: yolo, annotations: data.yaml}"


def write_voc(folder: Path, found: list[Scene]) -> str:
    for index, (image, truth) in enumerate(found):
        stem = f"z{(index * 37) % 101:03d}"
        write_image(folder / "JPEGImages" / f"{stem}.png", image)
        root = ET.Element("annotation")
        ET.SubElement(root, "filename").text = f"{stem}.png"
        size = ET.SubElement(root, "size")
        ET.SubElement(size, "width").text, ET.SubElement(size, "height").text = map(str, image.shape[1::-1])
        for (x0, y0, x1, y1), label in zip(truth.boxes.tolist(), truth.labels.tolist(), strict=True):
            item = ET.SubElement(root, "object")
            ET.SubElement(item, "name").text = CLASSES[label]
            box = ET.SubElement(item, "bndbox")
            for key, value in zip(("xmin", "ymin", "xmax", "ymax"), (x0 + 1, y0 + 1, x1, y1), strict=True):
                ET.SubElement(box, key).text = f"{value:g}"
        path = folder / "Annotations" / f"{stem}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ET.tostring(root))
    return "{format: voc, annotations: Annotations}"
