"""What is said of gates, of robustness and of the run itself."""

from __future__ import annotations

from auditor.judge.catalogue.row import row
from auditor.judge.told import Words
from auditor.values import digits

__all__: list[str] = []

_KINDS = {
    "class": "other classes' names",
    "localisation": "boxes that overlap too little",
    "both": "boxes that overlap too little, of other classes",
    "duplicate": "second detections of one object",
    "background": "detections where nothing is",
    "missed": "objects that are missed",
}
"""Kinds of errors in words."""


@row("gate.violated", "gate", "error", "gates", "A value lies beyond the limit of a gate.")
def _violated(metric: str, value: float, limit: float, kind: str, where: str, against: str, drop: float) -> Words:
    if kind == "at_least":
        return Words(
            f"it breaks at {value:.3g}, milder than the {limit:g} that it must hold to: {where}",
            "Do not deploy where conditions are harder than that, or improve the model for them (see the scenario's "
            "remedy) and audit again; a limit that was set wrongly is changed in `gates:` and judged again.",
        )
    side = "above" if kind == "max" else "below"
    message = f"{metric} {digits(value)} is {side} {digits(limit)}: {where}"
    if kind == "max_drop":
        message = f"{metric} {value:.3f} is {limit + drop - value:.3f} below {against}; the limit is {drop:g}: {where}"
    return Words(
        message,
        "Do not deploy for these conditions, or improve the model for them and audit again; a limit that was set "
        "wrongly is changed in `gates:` and judged again with `auditor judge`.",
    )


@row("gate.ties", "gate", "warning", "gates", "Whether a gate holds hangs on the order of equal scores.")
def _gate_ties(metric: str, value: float, limit: float, where: str, between: list[float]) -> Words:
    return Words(
        f"{metric} {value:.4f} against the limit {limit:.4f} hangs on the order of equal scores, which is a "
        f"convention: other orders give {between[0]:.4f} to {between[1]:.4f}: {where}",
        "Do not let a release hang on it: improve the model, or set the limit outside of this range.",
    )


@row("gate.undecided", "gate", "warning", "gates", "A value may lie on either side of its limit.")
def _gate_undecided(
    metric: str,
    value: float,
    limit: float,
    where: str,
    confidence: float,
    images: int,
    enough: int | None,
    known: bool,
) -> Words:
    if not known:
        return Words(
            f"{metric} {digits(value)} against the limit {digits(limit)} is not sure ({confidence:.0%} confidence): "
            f"{where}; it has no interval here, since there is too little of it",
            "Add images with such objects (20 of a class, 40 for its AP; of a clip ten seconds and more), or leave "
            "`confidence` out of this gate.",
        )
    more = "it lies on the limit itself" if enough is None else f"about {enough:,} images would decide"
    return Words(
        f"{metric} {digits(value)} on {images:,} images may lie on either side of the limit {digits(limit)} "
        f"({confidence:.0%} confidence): {where}; {more}",
        "Audit on more images, or set a limit that these can decide; `undecided: pass` lets such gates pass.",
    )


@row("gate.unmeasured", "gate", "error", "gates", "A gate selects something that was not measured.")
def _unmeasured(metric: str, where: str, reason: str) -> Words:
    return Words(
        f"{metric} could not be judged: {where}: {reason}",
        "Mend what kept it from being measured (see the `run` findings) and run the audit again.",
    )


@row("gate.unmet", "gate", "error", "gates", "A gate met no measured cell at all.")
def _unmet(rule: str, line: int | None) -> Words:
    return Words(
        f"the gate{f' in line {line}' if line else ''} on {rule} met no measured cell",
        "Check its metric and selectors against the models, scenarios and severities of the audit.",
    )


@row("robustness.weak", "robustness", "warning", "packs", "A scenario leaves less than half by a middle severity.")
def _weak(
    label: str,
    scenario: str,
    severity: float,
    metric: str,
    kept: float,
    value: float,
    clean: float,
    remedy: str,
    kind: str | None,
    grew: float,
) -> Words:
    why = "" if kind is None else f"; what it loses to most is {_KINDS[kind]} ({grew:+.3f} AP50)"
    return Words(
        f"{label} keeps only {kept:.0%} of its clean {metric} under {scenario} at severity {severity:g} "
        f"({metric} {value:.3f} instead of {clean:.3f}){why}",
        remedy,
    )


@row("robustness.weakest", "robustness", "info", "packs", "The scenarios that cost a model most and least.")
def _weakest(label: str, metric: str, worst: str, kept: float, best: str, best_kept: float, remedy: str) -> Words:
    return Words(
        f"{label} keeps {kept:.0%} of its clean {metric} over {worst}, its weakest scenario, and {best_kept:.0%} over "
        f"{best}, its strongest",
        remedy,
    )


@row("run.failed", "run", "error", "findings", "Cells that could not be measured or evaluated.")
def _failed(where: str, reason: str) -> Words:
    return Words(
        f"not measured: {where}: {reason}",
        "See `error` of the cell in result.json; when mended, run again: what is complete is not done twice.",
    )


@row("run.decided", "run", "info", "scale", "Gates were decided before all images were measured.")
def _decided(error: float, partial: int, skipped: int, share: float) -> Words:
    return Words(
        f"gates were decided early: {share:.0%} of the inferences were made, {partial} cells are of a part of their "
        f"images, and {skipped} were not measured, since no open gate needed them; the verdict is that of all images "
        f"but for a chance of {error:g}",
        "Their figures are of few images: run without `decide` for the figures themselves.",
    )


@row("run.dirty", "run", "info", "findings", "The auditor ran from a source tree with uncommitted changes.")
def _dirty(commit: str) -> Words:
    return Words(
        f"the auditor ran from a source tree with uncommitted changes (commit {commit})",
        "Commit them before a run whose numbers must be repeatable.",
    )
