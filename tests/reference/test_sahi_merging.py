"""Tiles and their merging beside SAHI's, as it was recorded in an environment of its own (`record_sahi_merging.py`)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from auditor.encoding import tile_places
from auditor.tasks.detection.merging import merged
from auditor.values import Postprocess, Tiles

KNOWN = json.loads((Path(__file__).parents[1] / "golden" / "sahi_merging.json").read_text())


@pytest.mark.parametrize("case", KNOWN["slices"], ids=str)
def test_tiles_lie_where_sahi_cuts(case):
    height, width, high, wide, overlap, places = case
    assert [list(place) for place in tile_places((width, height), Tiles((high, wide), overlap))] == places


@pytest.mark.parametrize("case", KNOWN["merged"], ids=lambda case: "-".join(map(str, list(case.values())[:4])))
def test_what_is_found_in_several_tiles_is_merged_as_sahi_does(case):
    boxes, scores, labels = (np.array(part) for part in KNOWN["inputs"][str(case["seed"])])
    half = len(boxes) // 2
    parts = [
        {"boxes": boxes[part].astype(float), "scores": scores[part], "labels": labels[part]}
        for part in (slice(0, half), slice(half, None))
    ]
    tiles = Tiles((320, 320), merge=case["merge"], metric=case["metric"], match=case["match"])
    found = merged(parts, tiles, Postprocess())
    rows = [[*box, score, label] for box, score, label in zip(*found.values(), strict=True)]
    assert np.array(rows) == pytest.approx(np.array(case["found"]), abs=1e-6)
