"""A run and its baseline, read from their folders and compared."""

from __future__ import annotations

from pathlib import Path

from auditor.config import comparison_document
from auditor.errors import StoreError
from auditor.evaluate.intervals import FIXED
from auditor.evaluate.versus import Run, compare_runs
from auditor.report.compare_page import render_comparison
from auditor.report.compare_text import render_comparison_markdown
from auditor.run.judging import load_run
from auditor.store import load_samples, save_json, save_text
from auditor.values import Comparison

__all__ = ["compare_folders", "load_side", "save_comparison"]


def load_side(path: Path) -> Run:
    """Read one side of a comparison: a run folder, or its result.json; where the folder keeps its resamples,
    differences can be paired.

    Raises:
        StoreError: there is no result, or it is damaged.
    """
    result, folder = load_run(path)
    kept = load_samples(folder)
    samples = {}
    for cell in result.cells:
        key = (cell.file, cell.delegate, cell.device, cell.scenario, cell.severity)
        for name in (f"{metric}{part}" for metric in cell.metrics for part in ("", FIXED)):
            if (*key, name) in kept and cell.is_declared:
                samples[cell.key, name] = kept[*key, name]
    return Run(result, samples)


def compare_folders(baseline: Path, run: Path, *, least: float = 0.0) -> Comparison:
    """Compare a run with its baseline.

    Raises:
        StoreError: one of them cannot be read.
    """
    return compare_runs(load_side(baseline), load_side(run), least=least)


def save_comparison(comparison: Comparison, *, html: Path | None, markdown: Path | None, json: Path | None) -> None:
    """Write a comparison in the forms that are asked for.

    Raises:
        StoreError: a file cannot be written.
    """
    for path in (html, markdown, json):
        if path is not None and path.is_dir():
            raise StoreError(f"{path}: this is a folder; name a file to write to")
    if html is not None:
        save_text(html, render_comparison(comparison))
    if markdown is not None:
        save_text(markdown, render_comparison_markdown(comparison))
    if json is not None:
        save_json(json, comparison_document(comparison))
