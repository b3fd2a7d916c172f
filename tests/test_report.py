"""The report's files, from a small run."""

from __future__ import annotations

import json
import re
import shutil
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from conftest import DEMO_MODEL
from skimage.metrics import structural_similarity

from auditor.corruptions.likeness import psnr, ssim
from auditor.report.trade_points import Point
from auditor.run import judge_run, run_audit


@pytest.fixture
def run_folder(finished):
    """A run with a name that is markup, judged by three gates."""
    document = json.loads((finished / "out" / "result.json").read_text())
    (finished / "out" / "result.json").write_text(json.dumps({**document, "name": "small <b>&</b>"}))
    (finished / "gates.yaml").write_text(
        "- {metric: AP, scenario: clean, min: 0.4}\n"
        "- {metric: AP, scenario: noise, severity: 5, min: 0.9}\n"
        "- {metric: rPC, min: 0.99}\n"
    )
    judge_run(finished / "out", gates=finished / "gates.yaml")
    return finished / "out"


def test_the_page_stands_alone_and_says_why(run_folder):
    page = (run_folder / "report.html").read_text()
    plain = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert set(re.findall(r"""(?:src|href)=["'](?!data:|#)([^"']*)""", plain.replace("xmlns", ""))) == {
        "result.json",
        "summary.md",
        "junit.xml",
    }  # beside the page, in its own folder
    assert "small &lt;b&gt;&amp;&lt;/b&gt;" in page
    assert "FAILED" in page
    assert page.count('<svg class="lines"') == 2 + 1  # scenarios, and what each threshold gives
    assert page.count('class="marks"') == 5  # how images and boxes are spread
    assert "auditor run audit.yaml" in page
    assert re.search(r"sha256 [0-9a-f]{64}", page)
    for text in ("noise/gaussian", "lighting/low_light", "What these numbers are, and are not", "default", "graph"):
        assert text in page


def test_junit_has_a_case_per_gate_and_cell(run_folder):
    suite = ET.parse(run_folder / "junit.xml").getroot()
    cases = [case for case in suite if case.get("classname").startswith("gate.")]
    assert [case.find("failure") is not None for case in cases] == [False, True, True]


def test_the_summary_has_verdict_gates_and_numbers(run_folder):
    text = (run_folder / "summary.md").read_text()
    assert text.startswith("# FAILED: small")
    assert text.count("| failed |") == 2
    assert "| detector | float32 | xnnpack |" in text


def test_ssim_and_psnr_agree_with_scikit_image():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (60, 80, 1), dtype=np.uint8).repeat(3, axis=2)
    second = np.clip(first + rng.normal(0, 20, (60, 80, 1)), 0, 255).astype(np.uint8)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = structural_similarity(first[..., 0], second[..., 0], **options)
    assert ssim(first, second) == pytest.approx(expected, abs=0.01)
    assert psnr(first, second) == pytest.approx(
        10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2)), abs=1e-6
    )
    assert psnr(first, first) is None
    assert ssim(first, first) == pytest.approx(1)


def test_the_trade_off_shows_every_level_and_greys_the_dominated(project):
    shutil.copy(DEMO_MODEL.with_name("detector_int8.tflite"), project / "int8.tflite")
    shutil.copy(DEMO_MODEL, project / "twin.tflite")
    entry = "  - {name: detector, path: detector.tflite, labels: labels.txt}\n"
    more = (
        "  - {name: small, variant_of: detector, path: int8.tflite}\n"
        "  - {name: twin, variant_of: detector, quantization: copy, path: twin.tflite}\n"
    )
    text = (project / "audit.yaml").read_text()
    (project / "audit.yaml").write_text(
        text.replace(entry, entry + more).replace("[lighting/low_light, noise/gaussian]", "[]")
    )
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert {found.model for found in result.measurements} == {"detector", "small", "twin"}
    page = (project / "out" / "report.html").read_text()
    assert "Quantization: what each level costs" in page
    assert page.count('class="marks"') == 1 + 5
    cells = {cell.file: cell for cell in result.cells}
    assert cells["twin"].metrics["AP_minus_float32"].value == 0
    assert cells["twin"].metrics["AP_minus_float32"].interval == (0, 0)
    assert cells["small"].model == "detector"


def test_dominated_means_no_better_in_anything():
    def point(value, size, ms):
        return Point("file", "level", "AP", value, value, value, ms, size)

    better = point(0.3, 10, 5.0)
    assert better.dominates(point(0.2, 10, 5.2))
    assert better.dominates(point(0.3, 10, 9.0))
    assert not better.dominates(point(0.2, 9, 5.0))
    assert not better.dominates(point(0.2, 10, 3.0))
    assert not better.dominates(point(0.3, 10, 5.2))
