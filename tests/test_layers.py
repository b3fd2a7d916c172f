"""Per-tensor error of a level, and calibration that did not see what is evaluated."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from test_quantize import derived, silent, source, told_of

from auditor.demo.scenes import render_scene
from auditor.measure.layers import LayersRequest, measure_layers
from auditor.quantize import LevelRequest, make_levels

SCENES = tuple(render_scene(7000 + index)[0] for index in range(3))


def made(project, *, level="int8", calibration=None):
    spec, images = source(project)
    (result,) = make_levels([LevelRequest(spec, level, str(project / "made"), calibration or images)], say=silent)
    return spec, derived(result)


def test_the_ratio_is_that_of_its_definition(project):
    """Against the tensors read by hand, for the worst tensor."""
    from auditor.encoding import encode
    from auditor.runtimes.litert.interpreter import open_inspected

    spec, quantized = made(project)
    facts = measure_layers(LayersRequest(quantized, spec, SCENES[:1]))
    row = facts.layers[0]
    tensor = encode(SCENES[0], spec.input)[0]
    x = open_inspected(spec.path, input_shape=None, state=())(tensor)[row.tensor].astype(float)
    y = open_inspected(quantized.path, input_shape=None, state=())(tensor)[row.tensor].astype(float)
    assert row.sqnr_db == pytest.approx(10 * np.log10((x**2).sum() / ((x - y) ** 2).sum()))
    ratios = [row.sqnr_db for row in facts.layers]
    assert len(ratios) == 10
    assert ratios == sorted(ratios)
    assert all(row.op for row in facts.layers)


def test_int16_activations_have_less_noise_than_int8(project):
    lowest = {}
    for level in ("int8", "int16x8"):
        spec, quantized = made(project, level=level)
        lowest[level] = measure_layers(LayersRequest(quantized, spec, SCENES)).layers[0].sqnr_db
    assert lowest["int16x8"] > lowest["int8"]


def test_calibration_on_what_is_never_evaluated_is_named(project):
    """Five dark calibration images: the evaluated ones exceed what their activations ever reached."""
    import cv2

    from auditor.datasets.image_files import folder_images

    (project / "dark").mkdir()
    for index in range(5):
        cv2.imwrite(str(project / "dark" / f"{index}.png"), np.full((160, 160, 3), index, np.uint8))
    spec, quantized = made(project, calibration=folder_images(project / "dark", limit=None))
    facts = measure_layers(LayersRequest(quantized, spec, SCENES))
    assert facts.saturating[0].saturated > 0.04
    told = told_of(dataclasses.replace(facts, layers=()))
    assert told.keys() == {"quantization.saturating"}
    assert told["quantization.saturating"].facts["tensors"] == facts.saturating_tensors
    good = measure_layers(LayersRequest(*reversed(made(project)), SCENES))
    assert 3 * good.saturating[0].saturated < facts.saturating[0].saturated, good.saturating[:2]
