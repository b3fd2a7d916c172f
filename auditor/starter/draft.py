"""A first `audit.yaml` for a model and a data folder: what could be found out and measured, and what could not,
marked."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from auditor.corruptions.packs import scenario_names
from auditor.datasets.detect import detect_dataset
from auditor.datasets.named_files import no_folder
from auditor.errors import InputError
from auditor.judge.quantization import breaks_in_head
from auditor.resolve.model import DATASET_LABELS
from auditor.run import Progress
from auditor.starter.entry import Entry, advice_of, entry_of, model_name, relative
from auditor.starter.holdout import LISTING, HeldOut, held_out
from auditor.starter.proposal import proposed_gates
from auditor.starter.trial import IMAGES, TimedProgress, load_whole, try_audit
from auditor.values import AuditResult, InRun, yaml_flow
from auditor.values.label_lists import BUILT_IN_LABELS
from auditor.values.levels import FLOAT32, FLOAT_HEAD, INT8

__all__ = ["Asked", "Draft", "draft_audit"]

_WORDS = ("format", "split", "truth")
_PACKS = ("lighting", "resolution", "noise")
_SEVERITIES = (1, 3, 5)
_MIDDLE = 3
_TRIAL_S = 90.0
"""How long measuring under scenarios may take, about; slower models are measured under fewer."""
_FIRST_RUN_S = 120.0
_LEAST_IMAGES = 50
"""The first audit takes as many images of a large data set as take about so long, and no fewer."""
_CONDITIONS_S = 30.0
"""Of what comes after the first trial."""
_AROUND_S = 30.0
"""Of opening the models, comparing inputs and measuring speed."""
_LABEL_FILE = "-labels.txt"
_MOST_LABELS = 4
"""So many of the most frequent classes are tried as the one of a model."""
_SOON = 1.5
"""An audit of so many times that is not cut short."""
_MISSING = "MISSING: the file names no labels; write coco80, coco90, coco91, dataset, or a file with one label a line"


@dataclasses.dataclass(frozen=True)
class Asked:
    """What `auditor init` was asked for."""

    model: Path
    dataset: Path
    output: Path
    labels: str | None = None
    calibration: Path | None = None


@dataclasses.dataclass(frozen=True)
class Draft:
    """The text of an `audit.yaml` and of other files that it names; what was found out and what could not be, in words;
    `missing` is what it cannot run without. `seconds` is how long the audit takes, about."""

    text: str
    files: Mapping[Path, str] = dataclasses.field(default_factory=dict)
    found: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    seconds: float | None = None


def draft_audit(asked: Asked, progress: Progress) -> Draft:
    """Draft the `audit.yaml` that would stand at `asked.output`.

    The model is measured on 20 images of the data set with every plausible input contract, then under scenarios.

    Raises:
        InputError: the data set or the model cannot be read, or do not fit each other.
    """
    labels = asked.labels
    progress.stage("looking at the data set")
    found = _detected(asked)
    progress.say(f"{asked.dataset}: {', '.join(f'{key} {value}' for key, value in found.items())}")
    dataset = {key: value if key in _WORDS else str(Path(value).absolute()) for key, value in found.items()}
    problems: list[str] = []
    # a clip's own list has classes that do not come up in it, too
    listed = [str(found["labels"])] if found["format"] == "video" and "labels" in found else []
    for candidate in [labels] if labels else [None, *listed, *BUILT_IN_LABELS, DATASET_LABELS]:
        named = "the labels of the file, if it names any" if candidate is None else f"labels {candidate}"
        progress.say(f"trying {named}, with every plausible input, on {IMAGES} clean images")
        entry: dict[str, Any] = {"name": model_name(asked.model), "path": str(asked.model.absolute())}
        if candidate is not None:
            entry["labels"] = str(Path(candidate).absolute()) if Path(candidate).is_file() else candidate
        try:
            result = try_audit(
                dataset,
                entry,
                progress=TimedProgress(progress, later=_CONDITIONS_S),
                checks={"input_contract": {"images": IMAGES}},
            )
        except InputError as error:
            problems = problems or list(error.problems)
            if not any("label" in problem for problem in error.problems):
                raise InputError([_plain(problem) for problem in error.problems]) from error
            continue
        if candidate in (None, labels) or _finds_something(result):
            own = entry_of(asked.model, result, labels=candidate, guessed=labels is None)
            return _Drafting(asked, found, dataset, result, own, progress).draft()
    if labels:
        raise InputError([_plain(problem) for problem in problems])
    single = _of_one_class(asked, dataset, progress)
    if single is not None:
        label, result, file = single
        own = entry_of(asked.model, result, labels=str(file), guessed=True)
        file.write_text(f"{label}\n", encoding="utf-8")
        try:
            draft = _Drafting(asked, found, dataset, result, own, progress).draft()
        finally:
            file.unlink(missing_ok=True)  # it is written with the rest
        return dataclasses.replace(draft, files={**draft.files, file: f"{label}\n"})
    return _without_labels(asked, found, [_plain(problem) for problem in problems])


def _beside(output: Path, ending: str) -> Path:
    """A file that is written beside the audit, and named after it."""
    return output.absolute().parent / f"{output.stem}{ending}"


def _of_one_class(asked: Asked, dataset: Mapping[str, Any], progress: Progress) -> tuple[str, AuditResult, Path] | None:
    """A model of one class that its file does not name: which of the most frequent of the data set it finds best, what
    came out, and the label file to write; None where it has more classes, or finds none of these."""
    whole = load_whole(dataset)
    if whole is None:
        return None
    truths = whole.truth.values()
    counts = Counter(whole.categories[index] for truth in truths for index in getattr(truth, "labels", ()))
    best: tuple[float, str, AuditResult] | None = None
    file = _beside(asked.output, _LABEL_FILE)
    for label, _ in counts.most_common(_MOST_LABELS):
        progress.say(f"trying one class: {label}")
        try:
            file.write_text(f"{label}\n", encoding="utf-8")
            entry = {"name": model_name(asked.model), "path": str(asked.model.absolute()), "labels": str(file)}
            found = try_audit(dataset, entry, progress=progress, checks={"input_contract": {"images": IMAGES}})
        except InputError as error:
            if any("label" in problem or "class" in problem for problem in error.problems):
                return None
            continue
        finally:
            file.unlink(missing_ok=True)
        reached = max((cell.value or 0.0 for cell in found.cells), default=0.0)
        if best is None or reached > best[0]:
            best = reached, label, found
    if best is None or not _finds_something(best[2]):
        return None
    return best[1], best[2], file


def _detected(asked: Asked) -> dict[str, Path | str]:
    """The keys of the data set.

    Raises:
        InputError: with everything that is wrong with what was asked for.
    """
    problems = []
    labels, known = asked.labels, (*BUILT_IN_LABELS, DATASET_LABELS)
    if not asked.model.exists():
        problems.append(f"{asked.model}: no such file; expected a .tflite file, a .keras file or a SavedModel folder")
    if labels is not None and labels not in known and not Path(labels).is_file():
        what = "is a folder; expected a file with one label a line" if Path(labels).is_dir() else "no such file"
        problems.append(f"--labels {labels}: {what}, or one of {', '.join(known)}")
    if asked.calibration is not None and not asked.calibration.is_dir():
        problems.append(f"--calibration {asked.calibration}: {no_folder(asked.calibration)}; expected one of images")
    problems += [
        f"{path}: this file is there already, and would be written; name another audit.yaml with --output"
        for path in (_beside(asked.output, _LABEL_FILE), _beside(asked.output, LISTING))
        if path.exists()
    ]
    found: dict[str, Path | str] = {}
    try:
        found = detect_dataset(asked.dataset)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    return found


def _finds_something(result: AuditResult) -> bool:
    """Whether a guessed label list is borne out by what the model finds: by more than a model that guesses."""
    model = result.models[0]
    classes = len(model.labels) or 1
    chance = 0.5 + 0.5 / classes if model.judging.broken_below is None else 0.05
    return max((cell.value or 0.0 for cell in result.cells), default=0.0) > chance


@dataclasses.dataclass(frozen=True)
class _Drafting:
    """A draft in the making, from what a first trial showed of the model."""

    asked: Asked
    found: Mapping[str, Path | str]
    dataset: Mapping[str, Any]
    first: AuditResult
    entry: Entry
    progress: Progress

    def draft(self) -> Draft:
        """Measure under scenarios, and put everything together."""
        unknown = list(_undecided(self.first))
        held = self._held_out(unknown)
        result, once_s, level = self._conditions(held, unknown)
        images, cells = self._size(held, result)
        limit, note = _limit(images, cells, once_s, whole=held is None or not held.listing)
        gates = proposed_gates(result)
        lines = [
            *_head(self.asked, self.found, limit, note),
            "models:",
            *self.entry.lines(self.asked.output),
        ]
        if held is not None:
            lines += [
                f"    # {level} as the auditor makes it; leave this and its gate out if you do not deploy it",
                "    quantize:",
                f"      levels: [{level}]",
                f"      {held.line(self.asked.output)}",
            ]
        lines += [f"scenarios: {yaml_flow(_PACKS)}", f"severities: {yaml_flow(_SEVERITIES)}"]
        lines += _gate_comment(self.asked.output)
        lines += ["gates:", *(f"  {gate}" for gate in gates)] if gates else ["gates: []"]
        return Draft(
            "\n".join(lines) + "\n",
            files={held.listing: held.text} if held is not None and held.listing is not None else {},
            found=tuple(f"{gate.about}: {gate.measured}" for gate in gates) or (self._told(),),
            unknown=tuple(unknown),
            seconds=(limit or images) * cells * once_s + _AROUND_S,
        )

    def _told(self) -> str:
        """What came out on clean images, fed as the draft says."""
        advice = advice_of(self.first)
        clean = next(cell for cell in self.first.cells if cell.is_clean and cell.is_declared)
        used = next((cell for cell in self.first.cells if advice and cell.input == advice.cell.get("input")), clean)
        value = "undefined" if used.value is None else f"{used.value:.3f}"
        instead = f", with {used.input} instead of what the file and its head say" if used is not clean else ""
        return f"{clean.judged_by} {value} on {used.images} clean images{instead}"

    def _held_out(self, unknown: list[str]) -> HeldOut | None:
        """What int8 is calibrated on, where the model is one that it can be made of."""
        if self.first.models[0].quantization != FLOAT32:
            return None
        self.progress.stage("looking for images to calibrate int8 on")
        held = held_out(self.dataset, self.asked.output, calibration=self.asked.calibration)
        if held is None:
            unknown.append("what int8 would cost: too few images to calibrate on; name others by --calibration FOLDER")
        return held

    def _conditions(self, held: HeldOut | None, unknown: list[str]) -> tuple[AuditResult, float, str]:
        """Measure under scenarios, and the integer level that works; how many seconds an image took in each cell, and
        which level that is."""
        entry, level = dict(self.entry.document), INT8
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder) / "out"
            if held is not None:
                keys = dict(held.keys)
                if held.listing is not None:
                    keys["annotations"] = str(Path(folder) / held.listing.name)
                    Path(keys["annotations"]).write_text(held.text, encoding="utf-8")
                level = self._working_level(entry, keys, kept, unknown)
                entry["quantize"] = {"levels": [level], "calibration": keys}
            scenarios = self._scenarios(2 if held is not None else 1, unknown)
            self.progress.say(f"measuring {len(scenarios)} scenarios at severity {_MIDDLE}, on {IMAGES} images")
            timed = TimedProgress(self.progress)
            result = try_audit(
                self.dataset,
                entry,
                progress=timed,
                kept=kept,
                scenarios=scenarios,
                severities=[_MIDDLE],
                checks={"input_contract": False, "quantization": False},
            )
        timed.close()
        skipped = [cell for cell in result.cells if cell.status == "skipped" and cell.is_clean]
        unknown += [f"what {cell.quantization} would cost: {cell.error}" for cell in skipped]
        done = sum(cell.images for cell in result.cells if cell.status == "ok" and not cell.is_clean)
        return result, (timed.seconds["measuring"] + timed.seconds["evaluating"]) / max(done, 1), level

    def _working_level(self, entry: Mapping[str, Any], keys: Mapping[str, Any], kept: Path, unknown: list[str]) -> str:
        """int8, or where that breaks in its head the level that keeps the head in float."""
        self.progress.say(f"making {INT8}, and looking whether its head holds")
        asked = {**entry, "quantize": {"levels": [INT8], "calibration": dict(keys)}}
        found = try_audit(
            self.dataset,
            asked,
            progress=TimedProgress(self.progress, later=_CONDITIONS_S),
            kept=kept,
            checks={"input_contract": False, "quantization": False},
        )
        broken = [model for model in found.models if breaks_in_head(model.diagnosis)]
        if not broken:
            return INT8
        lost = next((cell for cell in found.cells if cell.quantization == INT8 and cell.value is not None), None)
        value = f" ({lost.judged_by} {lost.value:.3f})" if lost is not None else ""
        unknown.append(
            f"a use for {INT8} as it is made: one scale serves boxes and scores{value}; {FLOAT_HEAD}, which keeps the "
            "head in float, stands in its place"
        )
        return FLOAT_HEAD

    def _scenarios(self, levels: int, unknown: list[str]) -> list[str]:
        """All scenarios, or of a slow model as many of them as take a minute and a half."""
        every = _scenarios_of_packs()
        known = [found.value.p50 for found in self.first.measurements if isinstance(found.value, InRun)]
        once_s = max(known, default=10.0) / 1e3
        most = max(len(_PACKS), int(_TRIAL_S / (once_s * IMAGES * levels)))
        if most >= len(every):
            return every
        unknown.append(
            f"which scenario is the worst: of {len(every)} only {most} were measured, an image takes {once_s:.1f} s"
        )
        return every[:: -(-len(every) // most)]

    def _size(self, held: HeldOut | None, result: AuditResult) -> tuple[int, int]:
        """How many images the audit evaluates, and how many cells it has."""
        files = {cell.file for cell in result.cells if cell.status == "ok"}
        cells = len(files) * (1 + len(_scenarios_of_packs()) * len(_SEVERITIES))
        if held is not None:
            return held.evaluated, cells
        whole = load_whole(self.dataset)
        return (len(whole.images) if whole is not None else IMAGES), cells


def _scenarios_of_packs() -> list[str]:
    """The scenarios that the first audit runs."""
    return [name for name in scenario_names() if "/" in name and name.partition("/")[0] in _PACKS]


def _limit(images: int, cells: int, once_s: float, *, whole: bool) -> tuple[int | None, str]:
    """How many images the first audit takes, None for all there are, and why."""
    most = max(_LEAST_IMAGES, int(_FIRST_RUN_S / (cells * once_s))) if once_s else images
    if images > _SOON * most:
        every = f"; all {images} would take about {images * cells * once_s / 60:.0f} min: take more for a release"
        return most, f"the first {most} by id, so that the first audit is soon done{every}"
    return (None, "") if whole else (images, "the rest is for calibration")


def _undecided(result: AuditResult) -> Iterator[str]:
    """What the first images leave open of how the model is fed and read."""
    for finding in result.findings:
        if finding.code in ("input.unusual", "input.broken"):
            yield finding.message
        elif finding.code == "input.sound" and (finding.facts.get("undecided") or finding.facts.get("broken")):
            yield finding.remedy


def _gate_comment(output: Path) -> list[str]:
    run = f"reports/{output.stem}"
    return [
        "# What must hold for a release. Proposed is what the model does today on few images, each limit the end",
        "# of a 95 % interval, or 0.05 from the value where there is none. Set what the deployment needs instead",
        f"# (`auditor docs gates` lists every metric); `auditor judge {run} --gates {output.name}` then judges anew",
        "# what is measured.",
    ]


def _without_labels(asked: Asked, found: Mapping[str, Path | str], problems: list[str]) -> Draft:
    lines = [
        *_head(asked, found, None, ""),
        "models:",
        f"  - name: {model_name(asked.model)}",
        f"    path: {relative(asked.model, asked.output)}",
        f"    labels:   # {_MISSING}",
        f"scenarios: {yaml_flow(_PACKS)}",
        f"severities: {yaml_flow(_SEVERITIES)}",
    ]
    return Draft("\n".join(lines) + "\n", missing=tuple(problems))


def _head(asked: Asked, found: Mapping[str, Path | str], limit: int | None, note: str) -> list[str]:
    keys = [
        f"  {key}: {value if key in _WORDS else relative(Path(value), asked.output)}" for key, value in found.items()
    ]
    if limit is not None:
        keys.append(f"  limit: {limit}   # {note}")
    return [
        "# A first audit, written by `auditor init`: what could be found out is filled in, what was guessed says so.",
        f"name: {model_name(asked.model)}",
        "dataset:",
        *keys,
    ]


def _plain(problem: str) -> str:
    """A problem of the temporary audit without its place there."""
    return re.sub(r"^\S*audit\.yaml:\d+: (?:[\w.\[\]]+: )?", "", problem)
