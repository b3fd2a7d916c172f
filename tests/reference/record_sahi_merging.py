"""Record what SAHI cuts and merges: run in an environment of its own, `pip install sahi==0.12.8`, as
`python record_sahi_merging.py > ../golden/sahi_merging.json`."""

from __future__ import annotations

import json

import numpy as np

SIZES = [(480, 640, 320, 320, 0.2), (1080, 1920, 640, 640, 0.2), (300, 500, 512, 512, 0.1), (641, 999, 256, 320, 0.3)]


def boxes_of(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clusters of boxes, as tiles see one object several times: (N, 4), (N,), (N,)."""
    rng = np.random.RandomState(seed)
    rows = []
    for _ in range(12):
        left, top, wide, high = rng.uniform(0, 400, 2).tolist() + rng.uniform(10, 120, 2).tolist()
        label = int(rng.randint(3))
        for _ in range(rng.randint(1, 5)):
            a, b, c, d = rng.uniform(-0.25, 0.25, 4)
            box = [left + a * wide, top + b * high, left + (1 + c) * wide, top + (1 + d) * high]
            rows.append([max(0, round(v)) for v in box] + [round(float(rng.uniform(0.1, 0.99)), 6), label])
    array = np.array(rows)
    return array[:, :4], array[:, 4], array[:, 5].astype(int)


def recorded(seed: int, merge: str, metric: str, match: float) -> list[list[float]]:
    from sahi.postprocess import combine
    from sahi.prediction import ObjectPrediction

    boxes, scores, labels = boxes_of(seed)
    predictions = [
        ObjectPrediction(bbox=box.tolist(), score=float(score), category_id=int(label), category_name=str(label))
        for box, score, label in zip(boxes, scores, labels, strict=True)
    ]
    kind = {"nms": combine.NMSPostprocess, "nmm": combine.GreedyNMMPostprocess}[merge]
    found = kind(match_threshold=match, match_metric=metric.upper(), class_agnostic=False)(predictions)
    rows = [[*item.bbox.to_xyxy(), item.score.value, item.category.id] for item in found]
    return sorted(rows, key=lambda row: -row[4])


if __name__ == "__main__":
    from sahi.slicing import get_slice_bboxes

    slices = [
        [
            *size,
            get_slice_bboxes(
                image_height=size[0],
                image_width=size[1],
                slice_height=size[2],
                slice_width=size[3],
                auto_slice_resolution=False,
                overlap_height_ratio=size[4],
                overlap_width_ratio=size[4],
            ),
        ]
        for size in SIZES
    ]
    merged = [
        {"seed": seed, "merge": merge, "metric": metric, "match": match, "found": recorded(seed, merge, metric, match)}
        for seed in range(4)
        for merge in ("nms", "nmm")
        for metric in ("iou", "ios")
        for match in (0.3, 0.5)
    ]
    inputs = {str(seed): [part.tolist() for part in boxes_of(seed)] for seed in range(4)}
    print(json.dumps({"slices": slices, "inputs": inputs, "merged": merged}))
