"""A row of the page of results, measured again from its own document."""

from __future__ import annotations

import re

import pytest
import yaml
from record_results import called, limit, number

from auditor.manual import page_text
from auditor.run import run_audit

pytestmark = [pytest.mark.real, pytest.mark.long]


def test_a_row_of_the_page_is_what_its_document_gives(real, tmp_path):
    page = page_text("results")
    document = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    document["models"] = [model for model in document["models"] if model["name"] == "ssd_mobilenet_v1"]
    document["scenarios"] = ["common_corruptions/gaussian_noise", "common_corruptions/jpeg_compression"]
    for name in ("coco-val79", "coco-calib80"):
        (tmp_path / name).symlink_to(real / "data" / name)
    for model in document["models"]:
        (tmp_path / model["path"]).symlink_to(real / "models" / model["path"])
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(document))
    result = run_audit(tmp_path / "audit.yaml", output=tmp_path / "out")
    (summary,) = result.summaries
    assert f"| {called(summary)} | {number(summary.clean)} |" in page
    assert len(result.breaking_points) == 2
    for point in result.breaking_points:
        (row,) = re.findall(rf"\| {point.scenario.partition('/')[2]} \|.*\n", page)
        assert f"| {limit(point)} |" in row
