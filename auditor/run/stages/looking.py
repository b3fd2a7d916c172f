"""Looks at what is compared with declared models: measured in one queue, and evaluated as soon as that is possible."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from auditor.evaluate.evaluated import CellEvaluation
from auditor.executors import Outcome
from auditor.run.forecast import ALTERNATIVES
from auditor.run.session import Session
from auditor.run.stages.evaluating import timed_evaluation
from auditor.run.stages.looks import Looked
from auditor.run.stages.measuring import Job, Waiting
from auditor.values import DECLARED, ImageRecord, Unit

__all__ = ["Looking", "Together"]


class Looking:
    """The evaluation of candidates on some images, each when the units of its input (by its name) were measured."""

    def __init__(
        self,
        session: Session,
        looked: Looked,
        images: Sequence[ImageRecord],
        units: Mapping[str, Sequence[Unit]],
        *,
        there: Collection[str],
    ) -> None:
        """`there` are the units that were measured for an earlier look, by their resume keys."""
        self._session, self._tasks = session, looked.cells(images)
        self._waiting = Waiting({name: [unit.resume_key for unit in found] for name, found in units.items()})
        every = [unit for found in units.values() for unit in found]
        self.units = [unit for unit in every if unit.resume_key not in there]
        self.there = {unit.resume_key for unit in every} & set(there)
        self.share = len(units) / ALTERNATIVES * len(images) / max(1, len(looked.subject.images))
        """Which part of a comparison it is, about."""
        self.of = sum(name != DECLARED for name in units)
        self.found: dict[str, CellEvaluation] = {}

    def ready(self) -> Job | None:
        """The evaluation of a candidate whose input was measured."""
        name = self._waiting.pop()
        return None if name is None else Job(timed_evaluation, self._tasks[name]())

    def measured(self, resume_key: str, *, failed: bool) -> None:
        """A unit is there, or will not be."""
        self._waiting.measured(resume_key, failed=failed)

    def took(self, outcome: Outcome) -> None:
        """Keep what a candidate was found to be."""
        name = outcome.item.argument.cell.input
        if outcome.error is None:
            evaluation, spent = outcome.result
            self.found[name] = evaluation
            self._session.stopwatch.add("evaluate", spent)
        self._session.progress.done(int(name != DECLARED))


class Together:
    """Looks at several models, by their files' names, in one queue."""

    def __init__(self, looks: Mapping[str, Looking]) -> None:
        self._looks = looks

    @property
    def units(self) -> list[Unit]:
        """What all of them need measured."""
        return list({unit.resume_key: unit for look in self._looks.values() for unit in look.units}.values())

    @property
    def there(self) -> set[str]:
        """What all of them need, and was measured before."""
        return {key for look in self._looks.values() for key in look.there}

    @property
    def of(self) -> int:
        """How many alternatives they are of."""
        return sum(look.of for look in self._looks.values())

    def ready(self) -> Job | None:
        """What can be evaluated now."""
        return next((job for look in self._looks.values() if (job := look.ready()) is not None), None)

    def measured(self, resume_key: str, *, failed: bool) -> None:
        """A unit is there, or will not be."""
        for look in self._looks.values():
            look.measured(resume_key, failed=failed)

    def took(self, outcome: Outcome) -> None:
        """Give an evaluation to whom it belongs."""
        self._looks[outcome.item.argument.cell.file].took(outcome)

    def alone(self) -> None:
        """Nothing is left to measure."""
