"""The loop that a user writes, in one process, with plain pycocotools at its end; prints the seconds of each step as
JSON. `python straight_loop.py AUDIT.yaml`."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from auditor.boxes import to_xywh
from auditor.config import read_audit
from auditor.corruptions.corrupt import corrupt
from auditor.encoding import encode
from auditor.measure.predict import decoded
from auditor.provenance import image_seed
from auditor.resolve.subjects import resolve_audit
from auditor.runtimes.anatomy.runtime import open_spec

spent: dict[str, float] = defaultdict(float)


@contextlib.contextmanager
def stage(name: str):
    begin = time.perf_counter()
    yield
    spent[name] += time.perf_counter() - begin


def annotations(found, ids, *, scores: bool):
    items = []
    for image_id, one in found.items():
        for number, (box, label) in enumerate(zip(to_xywh(one.boxes).tolist(), one.labels.tolist(), strict=True)):
            item = {"image_id": ids[image_id], "category_id": label + 1, "bbox": box, "id": len(items) + 1}
            if scores:
                items.append(item | {"score": float(one.scores[number]), "area": box[2] * box[3], "iscrowd": 0})
            else:
                items.append(item | {"area": float(one.area[number]), "iscrowd": int(one.iscrowd[number])})
    return items


def ap(dataset, truth, said) -> float:
    ids = {image_id: number for number, image_id in enumerate(truth, start=1)}
    with contextlib.redirect_stdout(io.StringIO()):
        sets = []
        for found, scores in ((truth, False), (said, True)):
            coco = COCO()
            coco.dataset = {
                "images": [{"id": number} for number in ids.values()],
                "categories": [{"id": index + 1, "name": name} for index, name in enumerate(dataset.categories)],
                "annotations": annotations(found, ids, scores=scores),
            }
            coco.createIndex()
            sets.append(coco)
        evaluation = COCOeval(*sets, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def main(path: Path) -> None:
    subjects, _ = resolve_audit(read_audit(path))
    begin = time.perf_counter()
    values = []
    for spec in subjects.specs:
        dataset = subjects.datasets[spec.dataset]
        opened = open_spec(spec, delegate=subjects.delegates[spec.name][0], threads=1)
        index = {
            index: dataset.categories.index(name)
            for index, name in enumerate(spec.labels)
            if name in dataset.categories
        }
        for scenario in (None, *subjects.scenarios):
            for severity in (0,) if scenario is None else subjects.severities:
                said = {}
                for record in dataset.images:
                    with stage("read"):
                        image = cv2.cvtColor(cv2.imread(str(record.path)), cv2.COLOR_BGR2RGB)
                    with stage("corrupt"):
                        if scenario is not None:
                            seed = image_seed(subjects.seed, scenario.key, record.sha256)
                            image = corrupt(image, scenario, severity=severity, seed=seed)
                    with stage("encode"):
                        tensor, geometry = encode(image, spec.input)
                    with stage("invoke"):
                        outputs = opened.invoke(tensor)
                    with stage("decode"):
                        found = decoded(spec, outputs, geometry, image.shape[:2])
                        labels = np.array([index.get(int(label), -1) for label in found["labels"]], dtype=np.int64)
                        keep = labels >= 0
                        said[record.id] = type("Said", (), {})()
                        said[record.id].boxes, said[record.id].scores = found["boxes"][keep], found["scores"][keep]
                        said[record.id].labels = labels[keep]
                with stage("pycocotools"):
                    values.append(ap(dataset, dataset.truth, said))
    print(json.dumps({**spent, "all": time.perf_counter() - begin, "AP": values}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
