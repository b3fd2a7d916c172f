"""From the document of an audit to what is to be measured: its subjects, verified, laid out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from auditor.bundle.read import devices_of
from auditor.config import AuditConfig
from auditor.errors import StoreError
from auditor.evaluate.versus import Run
from auditor.executors import Lane, isolated
from auditor.plan import Subjects, make_plan
from auditor.resolve.places import place
from auditor.resolve.subjects import resolve_audit
from auditor.run.against import load_side
from auditor.run.judging import problems_of_checks
from auditor.run.session import Session, State
from auditor.run.stages.verifying import verified
from auditor.values import Rule

__all__ = ["planned", "resolved"]


def resolved(
    config: AuditConfig,
    *,
    devices: Collection[str] | None = (),
    lanes: Sequence[Lane] = (),
    wrong: Sequence[str] = (),
) -> tuple[Subjects, tuple[Rule, ...]]:
    """What a document is of, and the rules it is judged by; `devices` are others whose measurements are judged, None
    where they are not known yet; `wrong` is what else is.

    Raises:
        InputError: with every problem of all that the document names at once.
    """
    return resolve_audit(config, [*config.problems, *problems_of_checks(config), *wrong], devices=devices, lanes=lanes)


def planned(session: Session) -> State:
    """The state that the stages begin with.

    Raises:
        InputError: with every problem of all that the document names at once.
    """
    session.progress.stage("reading the documents and images, and opening every model once")
    baseline, wrong = _baseline(session.config)
    with isolated(session.executor) as lanes:
        subjects, rules = resolved(session.config, devices=devices_of(session.elsewhere), lanes=lanes, wrong=wrong)
        timeout_s = session.config.measure.timeout
        facts = verified(subjects.specs, subjects.delegates, timeout_s=timeout_s, lanes=lanes)
    return State(make_plan(subjects, facts), rules, compared_with=baseline)


def _baseline(config: AuditConfig) -> tuple[Run | None, list[str]]:
    """The run that the document compares with, and what is wrong with it."""
    if config.baseline is None:
        return None, []
    try:
        return load_side(place(config, config.baseline)), []
    except StoreError as error:
        return None, [f"{config.source.where('baseline')}: {error}"]
