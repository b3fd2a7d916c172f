"""What is said of several findings of one code, and which findings follow from which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from auditor.judge.catalogue.row import explains, together
from auditor.values import Finding, some

__all__: list[str] = []

_NAMED = 4


def _labels(found: Sequence[Finding]) -> str:
    """Of what they are, the worst first: their files, where these tell them apart."""
    files = [str(item.cell.get("file") or item.facts.get("file")) for item in found]
    labels = [str(item.facts.get("label") or item.facts.get("file")) for item in found]
    names = files if len(set(files)) == len(set(labels)) else labels
    return some(list(dict.fromkeys(names)), _NAMED)


def _numbers(found: Iterable[Finding], name: str) -> list[float]:
    values = [item.facts.get(name) for item in found]
    return [float(value) for value in values if isinstance(value, int | float)]


def _range(values: Sequence[float], form: str) -> str:
    """The least and the most of some numbers; one where they look alike.

    >>> _range([0.29, 0.3], ".0%"), _range([3, 3], "g")
    ('29% to 30%', '3')
    """
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


@together("robustness.weak", "scenario")
def _weak(found: Sequence[Finding]) -> str:
    scenario, metric = found[0].facts["scenario"], found[0].facts["metric"]
    severity, kept = _range(_numbers(found, "severity"), "g"), _range(_numbers(found, "kept"), ".0%")
    return f"{scenario}, severity {severity}: {len(found)} models keep {kept} of their clean {metric}: {_labels(found)}"


@together("robustness.weakest", "worst")
def _weakest(found: Sequence[Finding]) -> str:
    kept = _range(_numbers(found, "kept"), ".0%")
    return (
        f"{found[0].facts['worst']} is the weakest scenario of {len(found)} models, which keep {kept} of their clean "
        f"{found[0].facts['metric']} over its severities: {_labels(found)}"
    )


@together("point.weakest", "missing", "severity", "false")
def _weakest_point(found: Sequence[Finding]) -> str:
    facts = found[0].facts
    recall, fppi = _range(_numbers(found, "recall"), ".0%"), _range(_numbers(found, "fppi"), ".2f")
    return (
        f"{len(found)} models find {recall} of the objects under {facts['missing']} at severity {facts['severity']:g}, "
        f"and have {fppi} false alarms an image under {facts['false']}: {_labels(found)}"
    )


@together("slices.worse")
def _slices(found: Sequence[Finding]) -> str:
    return f"{len(found)} models find less than elsewhere on a part of the data, beyond chance: {_labels(found)}"


@together("quantization.loss", "metric")
def _loss(found: Sequence[Finding]) -> str:
    lost = _range(_numbers(found, "lost"), ".3f")
    metric = found[0].facts["metric"]
    return f"{len(found)} levels lose {lost} {metric} against their references on clean images: {_labels(found)}"


@together("point.moved", "metric")
def _moved(found: Sequence[Finding]) -> str:
    now = _range(_numbers(found, "now"), ".3f")
    return f"at the held threshold the {found[0].facts['metric']} of {len(found)} levels is {now}: {_labels(found)}"


@together("compatibility.targets")
def _targets(found: Sequence[Finding]) -> str:
    refused = sum(bool(item.facts.get("refused")) for item in found)
    versions = sorted({str(item.facts["version"]) for item in found})
    return (
        f"{len(found)} files need a runtime of version {versions[0]}{f' to {versions[-1]}' if versions[1:] else ''} "
        f"or newer; {refused} of them have ops or types that a target refuses"
    )


_AT_POINT = ("point.moved", "point.out_of_reach", "point.nothing", "point.ceiling", "point.weakest", "point.unreached")
_LOST = ("robustness.weak", "robustness.weakest", "slices.worse", "input.broken", "input.overconfident", *_AT_POINT)
_OF_A_LEVEL = (
    *_LOST,
    "quantization.loss",
    "quantization.layers",
    "quantization.saturating",
    "quantization.saturates",
    "quantization.ties",
    "quantization.departs",
)
_HEADS = (
    "quantization.never_positive",
    "quantization.one_scale",
    "quantization.constant_class",
    "quantization.silent_class",
)
for _code in _HEADS:
    explains(_code, *_OF_A_LEVEL)
explains("quantization.saturates", *_AT_POINT, "quantization.loss")
explains("quantization.input_codes", *_LOST, "quantization.loss", "quantization.layers", "quantization.departs")
explains("quantization.saturating", "quantization.loss", "quantization.layers", "quantization.departs")
explains("quantization.unreadable_calibration", "quantization.saturating")
explains("data.calibration_unlike", "quantization.saturating", "quantization.saturates")
explains("quantization.loss", "quantization.departs", "quantization.layers")
explains("point.out_of_reach", "point.moved", "point.nothing", "point.ceiling")
for _code in ("input.better", "labels.better", "boxes.better"):
    explains(_code, "input.unusual", "labels.missing", "labels.coverage", *_LOST)
for _code in ("data.dark_bits", "data.beyond_bits"):
    explains(_code, *_LOST, "input.better", "labels.better", "boxes.better")
explains("input.broken", "robustness.weak", "robustness.weakest", "slices.worse", *_AT_POINT)
explains("robustness.weak", "robustness.weakest", "point.weakest")
explains("delegate.differs", "delegate.departs")
