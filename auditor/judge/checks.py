"""The built-in checks: what the numbers say beyond the gates."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from auditor.judge.quantization import breaks_in_head
from auditor.values import CLEAN, AuditResult, CellResult, Finding, Summary

__all__ = ["check_labels", "check_robustness", "check_run"]

_WEAK_KEPT = 0.5
"""A scenario that keeps less than this share of the clean AP by a middle severity is worth a warning."""
_BROKEN = 0.02
"""A clean AP below this is no weak model: something is wrong with what it is fed or how it is read."""

_REMEDIES = {
    "low_light": "Train with darkened images (albumentations RandomGamma or RandomBrightnessContrast towards dark), "
    "or raise exposure, add light, or brighten before the model.",
    "overexposure": "Train with overexposed images, or meter for the highlights on the camera.",
    "low_contrast": "Train with reduced contrast (RandomBrightnessContrast), or equalize contrast before the model as "
    "in training.",
    "color_temperature": "Train with shifted white balance (PlanckianJitter), or fix the camera's white balance for "
    "the site.",
    "uneven_light": "Train with RandomShadow or illumination ramps, or even out the light at the site.",
    "low_resolution": "Train with Downscale, raise the model's input size, or mount the camera nearer.",
    "defocus": "Train with Defocus or GaussianBlur, or check the lens' focus as part of the installation.",
    "motion_blur": "Train with MotionBlur, or shorten the exposure.",
    "jpeg": "Train with ImageCompression at such qualities, or raise the stream's bit rate.",
    "pixelation": "Train with Downscale (nearest), or take the stream before it is scaled.",
    "gaussian": "Train with GaussNoise, or denoise before the model as in training.",
    "shot": "Train with ShotNoise, or lengthen the exposure or add light.",
    "iso": "Train with ISONoise, or lower the camera's gain limit.",
    "salt_and_pepper": "Train with SaltAndPepper, or run a small median filter before the model.",
    "banding": "Train with row noise, or match the exposure to the mains frequency.",
}


def check_robustness(result: AuditResult) -> Iterator[Finding]:
    """Name, for each model, the scenarios that cost most, and those that leave less than half by a middle severity."""
    made = {model["name"] for model in result.models if model["sources"].get("quantization", "").startswith("made by")}
    explained = {
        cell.cell.file
        for cell in result.cells
        if (value := cell.difference("declared")) is not None and value.interval is not None and value.interval[0] > 0
    }
    for summary in result.summaries:
        clean = summary.clean
        broken_heads = {model["name"] for model in result.models if breaks_in_head(model.get("diagnosis") or {})}
        detects = clean.name == "AP_clean"
        asked = result.plan.get("checks", {}).get("input_contract") is not False and summary.file not in made
        if (
            asked
            and detects
            and clean.value is not None
            and clean.value < _BROKEN
            and summary.file not in broken_heads | explained
        ):
            yield _broken(summary, clean.value)
        if not clean.value:
            continue
        kept = _kept_by_scenario(result, summary, clean.value)
        if not kept:
            continue
        label = str(summary)
        for scenario, cells in kept.items():
            weak = [(cell, share) for cell, share in cells if cell.cell.severity <= 3 and share < _WEAK_KEPT]
            if weak:
                cell, share = weak[0]
                yield _weakness(cell, share, clean.value, label, scenario)
        means = {scenario: sum(share for _, share in cells) / len(cells) for scenario, cells in kept.items()}
        worst, best = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
        if worst != best:
            yield Finding(
                check="robustness",
                level="info",
                message=f"{label} keeps {means[worst]:.0%} of its {clean.name.replace('_', ' ')} over {worst}, its "
                f"weakest scenario, and {means[best]:.0%} over {best}, its strongest",
                remedy=_remedy(worst),
                cell={
                    "model": summary.model,
                    "file": summary.file,
                    "quantization": summary.quantization,
                    "delegate": summary.delegate,
                    "scenario": worst,
                },
                observed=means[worst],
            )


def _broken(summary: Summary, clean: float) -> Finding:
    return Finding(
        check="input_contract",
        level="error",
        message=f"{summary} has AP {clean:.3f} on clean images: it is probably fed or decoded wrongly, or broken by "
        "its export",
        remedy="Check `input:` (color, mean, std, resize), `decoder:` (box_format, box_unit) and `labels:` against "
        "the training code; the report lists each with its source.",
        cell={
            "model": summary.model,
            "file": summary.file,
            "quantization": summary.quantization,
            "delegate": summary.delegate,
            "scenario": CLEAN,
        },
        observed=clean,
        limit=_BROKEN,
    )


def _weakness(cell: CellResult, share: float, clean: float, label: str, scenario: str) -> Finding:
    return Finding(
        check="robustness",
        level="warning",
        message=(
            f"{label} keeps only {share:.0%} of its clean {_name(cell)} under {scenario} at severity "
            f"{cell.cell.severity:g} "
            f"({_name(cell)} {share * clean:.3f} instead of {clean:.3f})"
        ),
        remedy=_remedy(scenario),
        cell=dataclasses.asdict(cell.cell),
        observed=share,
        limit=_WEAK_KEPT,
    )


def _name(cell: CellResult) -> str:
    return cell.primary.name if cell.primary is not None else "AP"


def _remedy(scenario: str) -> str:
    return _REMEDIES.get(
        scenario.rpartition("/")[2], "Train with images of this kind, or keep the condition from reaching the camera."
    )


def _kept_by_scenario(result: AuditResult, summary: Summary, clean: float) -> dict[str, list[tuple[CellResult, float]]]:
    kept: dict[str, list[tuple[CellResult, float]]] = {}
    for found in result.cells:
        cell = found.cell
        same = (cell.file, cell.delegate, cell.device) == (summary.file, summary.delegate, summary.device)
        if same and cell.input == "declared" and cell.scenario != CLEAN and found.value is not None:
            kept.setdefault(cell.scenario, []).append((found, found.value / clean))
    return {scenario: sorted(cells, key=lambda item: item[0].cell.severity) for scenario, cells in kept.items()}


def check_labels(result: AuditResult) -> Iterator[Finding]:
    """Say which classes are not judged, and what was dropped for it."""
    for model in result.models:
        where = {"model": model["model"], "file": model["name"]}
        if model.get("class_aliases"):
            pairs = [f"{label} = {category}" for label, category in model["class_aliases"]]
            yield Finding(
                check="labels",
                level="info",
                message=f"{model['name']}: {len(pairs)} classes are matched by the list of aliases: {_some(pairs)}",
                remedy="Nothing, if these are the same classes; else rename one of each pair.",
                cell=where,
            )
        if model["classes_only_truth"]:
            missing = model["classes_only_truth"]
            yield Finding(
                check="labels",
                level="info",
                message=f"{model['name']} has no label for {len(missing)} of the data set's classes "
                f"({_some(missing)}); {'top1' if model['task'] == 'classification' else 'AP'} is over the "
                f"{len(model['classes_judged'])} shared",
                remedy="Nothing, if the model is not meant to find these; else check `labels`.",
                cell=where,
            )
        if model["classes_only_model"]:
            extra = model["classes_only_model"]
            yield Finding(
                check="labels",
                level="info",
                message=f"the data set has no truth for {len(extra)} classes of {model['name']} ({_some(extra)}); "
                f"predictions of them are {'wrong' if model['task'] == 'classification' else 'dropped'}",
                remedy="Nothing, if these do not matter; else add annotations of these classes, since nothing tells "
                "how well they are found.",
                cell=where,
            )


def check_run(result: AuditResult) -> Iterable[Finding]:
    """Show every cell that failed, and what keeps the run from being repeated."""
    failed = [found for found in result.cells if found.status == "failed"]
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for found in failed:
        groups.setdefault((found.cell.file, found.error or ""), []).append(found)
    for (file, error), cells in groups.items():
        where = str(cells[0].cell) if len(cells) == 1 else f"{len(cells)} cells of {file}, first {cells[0].cell}"
        yield Finding(
            check="run",
            level="error",
            message=f"not measured: {where}: "
            f"{error.strip().splitlines()[-1] if error.strip() else 'no reason was recorded'}",
            remedy="See `error` of the cell in result.json; when mended, run again: what is complete is not done twice.",
            cell=dataclasses.asdict(cells[0].cell),
        )
    if result.provenance.get("source", {}).get("dirty"):
        yield Finding(
            check="run",
            level="info",
            message="the auditor ran from a source tree with uncommitted changes (commit "
            f"{result.provenance['source'].get('commit', '')[:12]})",
            remedy="Commit them before a run whose numbers must be repeatable.",
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
