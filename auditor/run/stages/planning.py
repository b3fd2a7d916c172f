"""From the document of an audit to what is to be measured: its subjects, verified, laid out."""

from __future__ import annotations

from auditor.plan import make_plan
from auditor.resolve.rules import rules_of
from auditor.resolve.subjects import resolve_audit
from auditor.run.session import Session, State
from auditor.run.stages.verifying import verified

__all__ = ["planned"]


def planned(session: Session) -> State:
    """The state that the stages begin with.

    Raises:
        InputError: with every problem of all that the document names at once.
    """
    subjects = resolve_audit(session.config)
    rules = rules_of(session.config, subjects)
    facts = verified(subjects.specs, subjects.delegates, timeout_s=session.config.measure.timeout)
    return State(make_plan(subjects, facts), rules)
