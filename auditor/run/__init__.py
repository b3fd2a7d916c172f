"""The composition of all rooms: an audit, from its file to its report."""

from auditor.run.audit import judge_run, load_run, report_run, run_audit
from auditor.run.elsewhere import write_bundle
from auditor.run.progress import Progress, SilentProgress

__all__ = ["Progress", "SilentProgress", "judge_run", "load_run", "report_run", "run_audit", "write_bundle"]
