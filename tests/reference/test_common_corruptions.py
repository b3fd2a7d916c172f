"""The pack `common_corruptions` beside imagecorruptions 1.1.2, whose statistics `record_common_corruptions.py` recorded
in an environment of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from corruption_images import pictures
from record_common_corruptions import draws_of, statistics

from auditor.config import load_pack, specs_of
from auditor.corruptions.corrupt import corrupt
from auditor.corruptions.packs import built_in_packs

RECORDED = json.loads((Path(__file__).parents[1] / "golden" / "common_corruptions.json").read_text())
PACKS = {name: path for name, path in built_in_packs().items() if name.startswith("common_corruptions")}
SPECS = {spec.name: spec for path in PACKS.values() for spec in specs_of(load_pack(path)[0], folder=path.parent)}
DEPARTS = {("pixelate", 3): 0.6}
"""By how many dB of PSNR ours may be off: Pillow's box filter takes whole pixels where 2.5 go into one, ours shares
them."""


LONG = ("motion_blur", "zoom_blur", "elastic_transform", "glass_blur")
"""Corruptions of which severities 1 and 5 are compared in every run: a severity takes seconds."""
EVERY = [
    pytest.param(name, severity, marks=[pytest.mark.long] if name in LONG and 1 < severity < 5 else [])
    for name in SPECS
    for severity in range(1, 6)
]


@pytest.mark.parametrize(("name", "severity"), EVERY)
def test_it_does_to_pictures_what_the_published_one_does(name, severity):
    rows = [
        statistics(image, corrupt(image, SPECS[name], severity=severity, seed=1000 * number + draw))
        for number, image in enumerate(pictures())
        for draw in range(draws_of(name))
    ]
    psnr, mean, std = np.mean(rows, axis=0)
    known = RECORDED[name][severity - 1]
    assert psnr == pytest.approx(known["psnr"], abs=DEPARTS.get((name, severity), 0.5))
    assert mean == pytest.approx(known["mean"], abs=2.5)
    assert std == pytest.approx(known["std"], rel=0.1)


def test_all_fifteen_and_the_four_of_validation_are_there():
    assert len(SPECS) == 19
    assert set(SPECS) == set(RECORDED)
