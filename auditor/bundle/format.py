"""What both sides of a bundle agree on: which inputs there are, in which order, and what a measurement is of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from auditor.plan import Plan
from auditor.provenance import digest
from auditor.values import CLEAN, ImageRecord, ModelSpec

__all__ = ["META", "Item", "fingerprint", "items", "packed"]

META = {
    "fingerprint": str,
    "device": str,
    "part": int,
    "parts": int,
    "speeds": dict,
    "machine": str,
    "runtime": str,
    "python": str,
}
"""What the note of a measurements file holds."""


@dataclass(frozen=True)
class Item:
    """One input: which image, corrupted how."""

    record: ImageRecord
    scenario: str
    severity: float


def packed(plan: Plan) -> list[ModelSpec]:
    """The files that are sent: models that any interpreter runs and the levels that the audit asks for, not the
    remedies it finds on its way."""
    delegates = plan.subjects.delegates
    return [
        spec
        for spec in plan.specs
        if spec.role in ("declared", "level") and any(delegate.travels for delegate in delegates[spec.name])
    ]


def items(plan: Plan, spec: ModelSpec, part: int, parts: int) -> Iterator[Item]:
    """The inputs of a model in one of several parts, in their order: every image clean, then in each scenario."""
    for index, record in enumerate(plan.datasets[spec.dataset].images):
        if index % parts == part:
            yield Item(record, CLEAN, 0)
            for scenario in plan.subjects.scenarios:
                for severity in plan.subjects.severities:
                    yield Item(record, scenario.key, severity)


def fingerprint(plan: Plan, specs: Sequence[ModelSpec]) -> str:
    """What a measurement is of: the models, the images and truth, the scenarios and the seed."""
    subjects = plan.subjects
    return digest(
        [(spec.name, spec.sha256, spec.input) for spec in specs],
        [plan.datasets[name].fingerprint for name in sorted(plan.datasets)],
        [(scenario.key, scenario.version, scenario.knobs, scenario.transforms) for scenario in subjects.scenarios],
        [subjects.severities, subjects.seed],
    )
