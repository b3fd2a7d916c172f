"""The composition of all rooms: an audit, from its file to its report."""

from auditor.run.against import compare_folders, load_side, save_comparison
from auditor.run.composing import run_audit
from auditor.run.estimating import Estimate, estimate_run
from auditor.run.exporting import export_coco, export_fiftyone, export_node_data
from auditor.run.fitting import Fitted, fit_scenarios
from auditor.run.gallery_folder import write_gallery
from auditor.run.judging import as_judged, catalogue, is_silenced_by_code, judge_run, load_run, report_run
from auditor.run.level_files import file_findings, quantize_file
from auditor.run.packing import write_bundle
from auditor.run.previewing import Finder
from auditor.run.progress import Progress, SilentProgress
from auditor.run.revisiting import revisited
from auditor.run.sharding import merge_shards, run_shard
from auditor.run.stages.verifying import verified

__all__ = [
    "Estimate",
    "Finder",
    "Fitted",
    "Progress",
    "SilentProgress",
    "as_judged",
    "catalogue",
    "compare_folders",
    "estimate_run",
    "export_coco",
    "export_fiftyone",
    "export_node_data",
    "file_findings",
    "fit_scenarios",
    "is_silenced_by_code",
    "judge_run",
    "load_run",
    "load_side",
    "merge_shards",
    "quantize_file",
    "report_run",
    "revisited",
    "run_audit",
    "run_shard",
    "save_comparison",
    "verified",
    "write_bundle",
    "write_gallery",
]
