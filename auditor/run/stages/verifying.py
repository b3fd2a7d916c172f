"""Run each model once on each delegate, before it is trusted with images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from auditor.delegate import Delegate
from auditor.executors import Lane, run_isolated
from auditor.measure.verify import VerifyRequest, verify
from auditor.values import ModelSpec, Verified

__all__ = ["verified"]


def verified(
    specs: Sequence[ModelSpec],
    delegates: Mapping[str, Sequence[Delegate]],
    *,
    timeout_s: float,
    lanes: Sequence[Lane] = (),
) -> dict[tuple[str, str], Verified]:
    """What each model shows on each of its delegates, by file and delegate. The runtime's own kernels share a process,
    those of `lanes` if there are any; any foreign delegate, which can hang or end the process that loads it, has one of
    its own each time."""
    requests = [
        VerifyRequest(spec, delegate) for spec in specs for delegate in delegates[spec.name] if delegate.is_deployable
    ]
    own = [[request] for request in requests if request.delegate.is_foreign]
    shared = [request for request in requests if not request.delegate.is_foreign]
    found: dict[tuple[str, str], Verified] = {}
    for number, together in enumerate([shared, *own]):
        mine = lanes if number == 0 else ()
        for outcome in run_isolated(verify, together, timeout_s=timeout_s, lanes=mine):
            name = outcome.item.delegate.name
            facts: Verified
            if outcome.error is None:
                facts = outcome.result
            else:
                facts = Verified(failed=f"{name}: {outcome.error.strip().splitlines()[-1]}")
            found[(outcome.item.spec.name, name)] = facts
    return found
