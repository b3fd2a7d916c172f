"""Run a function over items and yield each outcome as it completes: in this process, in worker processes, or on Dask.

An item that raises gives an outcome with the traceback; a worker that dies or outlives its time gives an outcome too
and is replaced, so one item never costs another.
"""

from auditor.executors.choosing import open_executor
from auditor.executors.lanes import Lane, ProcessExecutor, each_isolated, isolated, run_isolated
from auditor.executors.outcomes import Executor, Outcome, SerialExecutor, Shipping
from auditor.executors.shared import Shared

__all__ = [
    "Executor",
    "Lane",
    "Outcome",
    "ProcessExecutor",
    "SerialExecutor",
    "Shared",
    "Shipping",
    "each_isolated",
    "isolated",
    "open_executor",
    "run_isolated",
]
