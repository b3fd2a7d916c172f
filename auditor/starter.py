"""A first `audit.yaml` for a model and a data folder: what could be found out and measured, and what could not,
marked."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from auditor.datasets.detect import detect_dataset
from auditor.errors import InputError
from auditor.resolve.model import DATASET_LABELS
from auditor.run import run_audit
from auditor.values import AuditResult, Finding, ModelRecord, yaml_flow
from auditor.values.label_lists import BUILT_IN_LABELS

__all__ = ["draft_audit"]

_IMAGES = 20
_WORDS = ("format", "split")


def draft_audit(model: Path, dataset: Path, *, labels: str | None, output: Path) -> tuple[str, list[str]]:
    """Draft the `audit.yaml` that would stand at `output`; return its text, and what is missing for it to run.

    The model is measured on 20 images of the data set, with every plausible input contract.

    Raises:
        InputError: the data set or the model cannot be read, or do not fit each other.
    """
    if labels is not None and labels not in (*BUILT_IN_LABELS, DATASET_LABELS) and not Path(labels).is_file():
        raise InputError(
            f"--labels {labels}: no such file, and not one of {', '.join((*BUILT_IN_LABELS, DATASET_LABELS))}"
        )
    found = detect_dataset(dataset)
    tried = [labels] if labels else [None, "coco80", "coco90", "coco91", "dataset"]
    problems: list[str] = []
    for candidate in tried:
        try:
            result = _measured(model, found, candidate)
        except InputError as error:
            problems = problems or list(error.problems)
            if not any("label" in problem for problem in error.problems):
                raise InputError([_plain(problem) for problem in error.problems]) from error
            continue
        if candidate in (None, labels) or _finds_something(result):
            return _text(model, found, result, candidate, given=labels is not None, output=output), []
    if labels:
        raise InputError([_plain(problem) for problem in problems])
    return _without_labels(model, found, output), [_plain(problem) for problem in problems]


def _measured(model: Path, found: dict[str, Path | str], labels: str | None) -> AuditResult:
    """Audit the model on a few clean images, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        entry: dict[str, Any] = {"name": "model", "path": str(model.absolute())}
        if labels is not None:
            path = Path(labels)
            entry["labels"] = str(path.absolute()) if path.is_file() else labels
        document = {
            "name": "init",
            "dataset": {key: value if key in _WORDS else str(Path(value).absolute()) for key, value in found.items()}
            | {"limit": _IMAGES},
            "models": [entry],
            "scenarios": [],
            "checks": {"input_contract": {"images": _IMAGES}},
        }
        audit = Path(folder) / "audit.yaml"
        audit.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
        return run_audit(audit, output=Path(folder) / "out", jobs=1)


def _finds_something(result: AuditResult) -> bool:
    """Whether a guessed label list is borne out by what the model finds: by more than a model that guesses."""
    model = result.models[0]
    classes = len(model.labels) or 1
    chance = 0.5 + 0.5 / classes if model.judging.broken_below is None else 0.05
    return max((cell.value or 0.0 for cell in result.cells), default=0.0) > chance


def _text(
    model: Path, found: dict[str, Path | str], result: AuditResult, labels: str | None, *, given: bool, output: Path
) -> str:
    entry = result.models[0]
    clean = next(cell for cell in result.cells if cell.is_clean and cell.is_declared)
    metric = clean.judged_by
    fixes = {finding.code: finding for finding in result.findings if finding.fix is not None}
    better = fixes.get("input.better") or fixes.get("input.unusual")
    reading = fixes.get("labels.better") or fixes.get("boxes.better")
    lines = [
        *_head(model, found, output),
        "models:",
        f"  - name: {_name(model)}",
        f"    path: {_relative(model, output)}",
    ]
    if labels is not None:
        shown = _relative(Path(labels), output) if Path(labels).is_file() else labels
        lines.append(
            f"    labels: {shown}"
            + ("" if given else "   # guessed: the model has as many classes, and finds them; check the order")
        )
    else:
        lines.append(f"    # labels come from the file ({len(entry.labels)})")
    lines.append(f"    decoder: {_decoder(entry)}   # {entry.sources['decoder'].note}")
    lines += _input(entry, better, clean.images)
    if reading is not None:
        lines.append(f"    # {reading.message}")
        lines.append(f"    # {reading.remedy}")
    chosen = next((cell for cell in result.cells if better is not None and cell.input == better.cell["input"]), clean)
    value = chosen.value or 0.0
    lines += [
        "scenarios: [lighting, resolution, noise]",
        "severities: [1, 3, 5]",
        f"# Measured on {clean.images} clean images, of which no release is judged: {metric} {value:.3f}. Set what "
        "the deployment needs:",
        "# gates:",
        f"#   - {{metric: {metric}, scenario: clean, min: {max(0.0, value - 0.05):.2f}}}",
        "#   - {metric: rPC, min: 0.60}",
    ]
    return "\n".join(lines) + "\n"


def _decoder(entry: ModelRecord) -> str:
    """The decoder with what the first images settled of it."""
    settled = {
        key: value
        for key, value in entry.decoder.options.items()
        if (source := entry.sources.get(f"decoder.{key}")) is not None
        and source.origin == "images"
        and isinstance(value, str | int | float)
        and key != "label_offset"
    }
    return yaml_flow({"name": entry.decoder.name, **settled}) if settled else entry.decoder.name


def _input(entry: ModelRecord, better: Finding | None, images: int) -> list[str]:
    if better is not None:
        return [f"    {better.fix}   # measured: {better.message}"]
    settings = entry.input.settings
    origins = sorted({source.origin for key in settings if (source := entry.sources.get(f"input.{key}")) is not None})
    guessed = "what models with this head are trained with" if "default" in origins else ", ".join(origins)
    return [
        f"    # from {guessed}; no other input was better on {images} images",
        f"    input: {yaml_flow(settings)}",
    ]


def _without_labels(model: Path, found: dict[str, Path | str], output: Path) -> str:
    lines = [
        *_head(model, found, output),
        "models:",
        f"  - name: {_name(model)}",
        f"    path: {_relative(model, output)}",
    ]
    lines += [
        "    labels:   # MISSING: the file names no labels; write coco80, coco90, coco91, dataset, or a file with one "
        "label a line",
        "scenarios: [lighting, resolution, noise]",
        "severities: [1, 3, 5]",
    ]
    return "\n".join(lines) + "\n"


def _head(model: Path, found: dict[str, Path | str], output: Path) -> list[str]:
    keys = [f"  {key}: {value if key in _WORDS else _relative(Path(value), output)}" for key, value in found.items()]
    return [
        "# A first audit, written by `auditor init`: what could be found out is filled in, what was guessed says so.",
        f"name: {_name(model)}",
        "dataset:",
        *keys,
    ]


def _name(model: Path) -> str:
    name = "".join(character if character.isalnum() or character in "._-" else "_" for character in model.stem)
    return name if name[:1].isalnum() else f"model_{name}"


def _relative(path: Path, output: Path) -> str:
    return json.dumps(os.path.relpath(path.absolute(), output.absolute().parent))


def _plain(problem: str) -> str:
    """A problem of the temporary audit without its place there."""
    return re.sub(r"^\S*audit\.yaml:\d+: (?:[\w.\[\]]+: )?", "", problem)
