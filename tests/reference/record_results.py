"""Write the tables of `auditor/docs/results.md` and of the README from two runs of the same models.

    python tests/reference/record_results.py COMMON_RUN CAMERA_RUN

COMMON_RUN and CAMERA_RUN are folders with a `result.json`, of `common_corruptions` and of `security_camera`; the page
says with which commands they are made. What stands between `<!-- results: NAME -->` and `<!-- end -->` is replaced.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from auditor.report.limit_words import limit_words
from auditor.run.judging import load_run
from auditor.values import AuditResult, BreakingPoint, MetricValue, Summary

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "auditor" / "docs" / "results.md", ROOT / "README.md")
MARKED = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

FIRST = ("common_corruptions/gaussian_noise", "security_camera/infrared_night")
"""Of these the README shows where each file breaks."""


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [titles, ["---"] * len(titles), *rows])


def called(item: Summary | BreakingPoint) -> str:
    return f"{item.model} {item.quantization}"


def number(value: MetricValue | None, digits: int = 3) -> str:
    if value is None or value.value is None:
        return "–"
    between = "" if value.interval is None else " ({:.{d}f}–{:.{d}f})".format(*value.interval, d=digits)
    return f"{value.value:.{digits}f}{between}"


def limit(point: BreakingPoint) -> str:
    """A limit with its interval, both in the scenario's unit."""
    if point.outcome == "unknown" or (point.clean or 0.0) < point.max_drop:
        return "–"
    begin, end = point.interval or (None, None)
    if point.interval is None or (end is None and begin == point.range[1]):
        return limit_words(point)
    ends = [point.range[place] if edge is None else edge for place, edge in enumerate((begin, end))]
    marks = ("" if begin is not None else "<", "" if end is not None else ">")
    between = " to ".join(f"{mark}{float(f'{edge:.3g}'):g}" for mark, edge in zip(marks, ends, strict=True))
    return f"{limit_words(point)} ({between}){'*' if point.better_again is not None else ''}"


def over(common: AuditResult, camera: AuditResult) -> str:
    other = {(summary.file, summary.delegate): summary for summary in camera.summaries}
    rows = []
    for summary in common.summaries:
        night = other[summary.file, summary.delegate].metrics
        cells = [summary.clean, summary.metrics["mPC"], summary.metrics["rPC"], night["mPC"], night["rPC"]]
        rows.append([called(summary), *(number(value) for value in cells)])
    names = ["`common_corruptions` mPC", "rPC", "`security_camera` mPC", "rPC"]
    return table(["file, level", "clean AP", *names], rows)


def limits(result: AuditResult) -> str:
    units = {scenario.key: scenario.unit for scenario in result.plan.scenarios}
    files = [called(summary) for summary in result.summaries]
    by_place = {(point.scenario, called(point)): point for point in result.breaking_points}
    scenarios = list(dict.fromkeys(point.scenario for point in result.breaking_points))
    rows = []
    for key in scenarios:
        mine = [by_place[key, file] for file in files]
        low, high = mine[0].range
        rows.append([key.partition("/")[2], f"{units[key]}: {low:g} to {high:g}", *(limit(point) for point in mine)])
    return table(["scenario", "its knob, from severity 1 to 5", *files], rows)


def short(common: AuditResult, camera: AuditResult) -> str:
    other = {(summary.file, summary.delegate): summary for summary in camera.summaries}
    points = {(point.scenario, called(point)): point for run in (common, camera) for point in run.breaking_points}
    rows = []
    for summary in common.summaries:
        night = other[summary.file, summary.delegate].metrics
        rows.append(
            [
                called(summary),
                number(summary.clean, 2),
                number(summary.metrics["rPC"], 2),
                number(night["rPC"], 2),
                *(limit(points[key, called(summary)]) for key in FIRST),
            ]
        )
    units = {scenario.key: scenario.unit for run in (common, camera) for scenario in run.plan.scenarios}
    ends = [f"breaks at: {key.partition('/')[2]}, {units[key]}" for key in FIRST]
    return table(["file, level", "clean AP", "rPC, 15 common", "rPC, camera", *ends], rows)


def main(common: str, camera: str) -> None:
    first, second = (load_run(folder)[0] for folder in (common, camera))
    made: dict[str, Callable[[], str]] = {
        "over": lambda: over(first, second),
        "common": lambda: limits(first),
        "camera": lambda: limits(second),
        "short": lambda: short(first, second),
    }
    for page in PAGES:
        page.write_text(MARKED.sub(lambda found: f"{found[1]}{made[found[2]]()}\n{found[3]}", page.read_text()))


if __name__ == "__main__":
    main(*sys.argv[1:])
