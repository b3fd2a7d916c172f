"""Scenes with every kind of error, as COCO documents; run as a script, they are written for another program.

The figures of tidecv in `test_error_types.py` come from an environment of its own:

    python tests/reference/confusing_sets.py FOLDER
    pip install --no-deps tidecv pycocotools numpy; pip install opencv-python-headless matplotlib pandas seaborn appdirs
    python -c "
    import json
    from tidecv import TIDE, Data
    for seed in range(3):
        document, results = json.load(open(f'FOLDER/{seed}.json'))
        truth, said = Data('truth'), Data('said')
        for category in document['categories']:
            truth.add_class(category['id'], category['name']); said.add_class(category['id'], category['name'])
        for item in document['annotations']:
            truth.add_ground_truth(item['image_id'], item['category_id'], item['bbox'], None)
        for item in results:
            said.add_detection(item['image_id'], item['category_id'], item['score'], item['bbox'], None)
        tide = TIDE(); run = tide.evaluate(truth, said, pos_threshold=0.5, mode=TIDE.BOX)
        print(run.ap, tide.get_main_errors(), {kind: len(found) for kind, found in run.error_dict.items()})"
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from auditor.values import Detections, GroundTruth

CLASSES = tuple("abcdef")


def confusing(seed: int, images: int = 60) -> tuple[dict[int, GroundTruth], dict[int, Detections]]:
    """Shifted, doubled, renamed, invented and missing boxes; every image has an object, since tidecv looks at no
    other."""
    rng = np.random.default_rng(seed)
    truth, said = {}, {}
    for image in range(1, images + 1):
        low = rng.uniform(0, 400, (rng.integers(1, 8), 2))
        boxes = np.concatenate([low, low + rng.uniform(20, 150, (len(low), 2))], axis=1)
        labels = rng.integers(0, len(CLASSES), len(boxes))
        area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        truth[image] = GroundTruth(boxes, labels, area, np.zeros(len(boxes), bool))
        seen = rng.random(len(boxes)) < 0.85
        there, mine = boxes[seen], labels[seen]
        corner = rng.uniform(0, 400, (3, 2))
        invented = np.concatenate([corner, corner + 60], axis=1)
        found = np.concatenate([*(there + rng.normal(0, spread, there.shape) for spread in (5, 25, 6)), invented])
        found[:, :2] = np.minimum(found[:, :2], found[:, 2:] - 1)
        kinds = np.concatenate([mine, mine, rng.integers(0, len(CLASSES), len(there) + 3)])
        scores = rng.random(len(found))
        order = np.argsort(-scores)
        said[image] = Detections(found[order], scores[order], kinds[order])
    return truth, said


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from reference.test_coco_ap import documents

    for number in range(3):
        Path(sys.argv[1], f"{number}.json").write_text(json.dumps(documents(*confusing(number), CLASSES)))
