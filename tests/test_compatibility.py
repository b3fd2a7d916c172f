"""What a graph asks of its target, from the documented table."""

from __future__ import annotations

import numpy as np
from conftest import DEMO_MODEL
from made_results import made_result, model
from tiny_models import write_model

from auditor.judge.compatibility import check_compatibility
from auditor.runtimes.litert.graph import load_graph
from auditor.runtimes.litert.targets import compatibility


def told(facts):
    return {item.code: item.facts for item in check_compatibility(made_result(models=(model(compatibility=facts),)))}


def test_the_demo_s_detector():
    facts = compatibility(load_graph(DEMO_MODEL))
    assert (facts.custom, facts.flex, facts.dynamic) == ((), (), False)
    assert "TRANSPOSE" in facts.targets["gpu"].ops
    assert facts.targets["microcontroller"].types["float32"] > 0
    found = told(facts)
    assert found.keys() == {"compatibility.targets"}
    assert any("a gpu does not take" in text for text in found["compatibility.targets"]["refused"])


def test_custom_ops_and_open_sizes(tmp_path):
    path = write_model(
        tmp_path / "m.tflite", {"out": np.zeros((1, 3), np.float32)}, input_shape=(1, -1, -1, 3), custom_op="FlexErfinv"
    )
    facts = compatibility(load_graph(path))
    assert facts.flex == ("FlexErfinv",)
    assert facts.dynamic
    found = told(facts)
    assert found["compatibility.custom_ops"]["ops"] == ["FlexErfinv"]
    assert "compatibility.open_size" in found
