"""The stages of an audit in their order, each from what is known to what is known then."""

from __future__ import annotations

from collections.abc import Callable

from auditor.run.session import Session, State
from auditor.run.stages.beside_baseline import beside_baseline
from auditor.run.stages.comparing import compare_inputs
from auditor.run.stages.describing import describe_data
from auditor.run.stages.drifting import find_departures
from auditor.run.stages.grid import fill_grid
from auditor.run.stages.making import locate_errors, make_asked, make_remedies
from auditor.run.stages.returning import add_elsewhere, check_elsewhere
from auditor.run.stages.searching import find_breaking_points
from auditor.run.stages.slicing import find_slices
from auditor.run.stages.timing import measure_speeds

__all__ = ["STAGES"]

STAGES: tuple[Callable[[Session, State], State], ...] = (
    make_asked,
    check_elsewhere,
    make_remedies,
    fill_grid,
    find_breaking_points,
    add_elsewhere,
    compare_inputs,
    locate_errors,
    find_departures,
    describe_data,
    find_slices,
    measure_speeds,
    beside_baseline,
)
