"""A comparison as Markdown for a pull request: the verdict, then the worst first, in under 60 lines."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.report.summary import plain_cell
from auditor.values import ComparedCells, Comparison, Difference, digits

__all__ = ["headline", "render_comparison_markdown", "shown_difference"]

_MOST = 20
_FEW = 8


def headline(comparison: Comparison) -> str:
    """What came out, in one line."""
    counts = {name: len(comparison.of(name)) for name in ("worse", "better", "same", "not comparable")}
    verdict = "WORSE" if counts["worse"] else "BETTER" if counts["better"] else "NO REAL DIFFERENCE"
    if not counts["worse"] + counts["better"] + counts["same"]:
        verdict = "NOT COMPARABLE"
    told = f"cells worse: {counts['worse']}, better: {counts['better']}, no difference beyond chance: {counts['same']}"
    lost = f", not comparable: {counts['not comparable']}" if counts["not comparable"] else ""
    return f"{verdict}: {told}{lost}"


def render_comparison_markdown(comparison: Comparison) -> str:
    """Render a comparison; cells that do not differ are counted alone."""
    before, after = comparison.baseline, comparison.run
    lines = [
        f"## {headline(comparison)}",
        "",
        f"{plain_cell(after.name)} ({after.finished}) against {plain_cell(before.name)} ({before.finished}). A "
        "difference is called real so that at most 5 % of those that are called are not; intervals are of 95 %.",
        "",
    ]
    changed = [*comparison.of("worse"), *comparison.of("better")]
    if changed:
        lines += ["| | cell | metric | before | after | difference |", "|---|---|---|---|---|---|"]
        lines += [row for cell in changed[:_MOST] for row in _rows(cell)][:_MOST]
        if len(changed) > _MOST:
            lines.append(f"| | and {len(changed) - _MOST} more cells | | | | |")
        lines.append("")
    lines += _listed("Not comparable", [f"{cell.cell}: {cell.reason}" for cell in comparison.of("not comparable")])
    lines += _listed("Only in the baseline", comparison.only_before)
    lines += _listed("Only in the run", comparison.only_after)
    lines += _listed("To know", [*comparison.notes, *_speeds(comparison)])
    return "\n".join(lines).rstrip() + "\n"


def _rows(cell: ComparedCells) -> Iterator[str]:
    for item in cell.deciding:
        if item.outcome in ("worse", "better"):
            named = plain_cell(str(cell.cell))
            values = f"{_number(item.before)} | {_number(item.after)} | {shown_difference(item)}"
            yield f"| {item.outcome} | {named} | {item.metric} | {values} |"


def shown_difference(item: Difference) -> str:
    """A difference with its interval, in words."""
    if item.value is None:
        return f"– ({item.reason})"
    if item.interval is None:
        return f"{item.value:+.3f}"
    paired = "paired" if item.paired else "unpaired"
    return f"{item.value:+.3f} ({item.interval[0]:+.3f} to {item.interval[1]:+.3f}, {paired})"


def _number(value: float | None) -> str:
    return "–" if value is None else digits(value)


def _listed(title: str, items: list[str] | tuple[str, ...]) -> list[str]:
    if not items:
        return []
    more = [f"- and {len(items) - _FEW} more"] if len(items) > _FEW else []
    return [f"**{title}**", "", *(f"- {plain_cell(item)}" for item in items[:_FEW]), *more, ""]


def _speeds(comparison: Comparison) -> Iterator[str]:
    for name, (before, after) in comparison.latency_ms.items():
        yield f"{name}: median latency {before:.1f} ms became {after:.1f} ms"
    for name, (old, new) in comparison.file_bytes.items():
        if old != new:
            yield f"{name}: {old:,} bytes became {new:,}"
