"""What a graph asks of its target, from the documented table."""

from __future__ import annotations

import numpy as np
from conftest import DEMO_MODEL
from tiny_models import write_model

from auditor.judge.compatibility import check_compatibility
from auditor.models.compatibility import compatibility
from auditor.models.graph import load_graph
from auditor.values import AuditResult


def told(facts):
    model = {"name": "m", "model": "m", "compatibility": facts}
    return [
        finding.message
        for finding in check_compatibility(AuditResult("1.0", "r", {}, {"gates": []}, (model,), {}, (), ()))
    ]


def test_the_demo_s_detector():
    facts = compatibility(load_graph(DEMO_MODEL))
    assert (facts["custom"], facts["flex"], facts["dynamic"]) == ([], [], False)
    assert "TRANSPOSE" in facts["targets"]["gpu"]["ops"]
    assert facts["targets"]["microcontroller"]["types"]["float32"] > 0
    messages = told(facts)
    assert any("a gpu does not take" in text for text in messages)
    assert any("needs a runtime of version" in text for text in messages)


def test_custom_ops_and_open_sizes(tmp_path):
    path = write_model(
        tmp_path / "m.tflite", {"out": np.zeros((1, 3), np.float32)}, input_shape=(1, -1, -1, 3), custom_op="FlexErfinv"
    )
    facts = compatibility(load_graph(path))
    assert facts["flex"] == ["FlexErfinv"]
    assert facts["dynamic"]
    messages = told(facts)
    assert any("FlexErfinv" in text for text in messages)
    assert any("leaves its input size open" in text for text in messages)
