import pickle

import numpy as np
import pytest

from auditor.values import Detections, MetricValue, Rule


def test_arrays_are_read_only_also_after_unpickling():
    found = Detections(np.zeros((1, 4)), np.ones(1), np.zeros(1, dtype=np.int64))
    for value in (found, pickle.loads(pickle.dumps(found))):
        with pytest.raises(ValueError, match="read-only"):
            value.boxes[0, 0] = 1


def test_an_undefined_metric_needs_a_reason():
    with pytest.raises(ValueError, match="reason"):
        MetricValue("AP", None)


def test_a_rule_reads_as_a_sentence():
    assert (
        str(Rule("AP", "max_drop", 0.1, {"scenario": "noise", "severity": 3.0}, against="clean"))
        == "AP at most 0.1 below clean (scenario noise, severity 3)"
    )
