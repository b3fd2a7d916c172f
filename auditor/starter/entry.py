"""The entry of the model in a first audit: every setting with where it comes from, as YAML and as it is tried."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.resolve.model import DATASET_LABELS
from auditor.values import AuditResult, Finding, ModelRecord, yaml_flow
from auditor.values.label_lists import BUILT_IN_LABELS

__all__ = ["Entry", "Setting", "advice_of", "entry_of", "model_name", "relative"]

_BETTER = ("input.better", "labels.better", "boxes.better", "input.unusual")
"""What tells of another way to feed or to read a model, with the lines that declare it."""


@dataclass(frozen=True)
class Setting:
    """A key of the entry: its value, what is said of it behind, or on lines above it; `path` marks a file's name."""

    key: str
    value: Any
    note: str = ""
    above: tuple[str, ...] = ()
    path: bool = False


@dataclass(frozen=True)
class Entry:
    """The settings of the model's entry, in their order."""

    settings: tuple[Setting, ...]

    @property
    def document(self) -> dict[str, Any]:
        """As an audit takes it, paths made absolute."""
        return {
            setting.key: str(Path(setting.value).absolute()) if setting.path else setting.value
            for setting in self.settings
            if setting.value is not None
        }

    def lines(self, output: Path) -> Iterator[str]:
        """As it is written into the file `output`."""
        for number, setting in enumerate(self.settings):
            yield from (f"    # {text}" for text in setting.above)
            if setting.value is None:
                continue
            value = relative(Path(setting.value), output) if setting.path else yaml_flow(setting.value)
            note = f"   # {setting.note}" if setting.note else ""
            yield f"{'    ' if number else '  - '}{setting.key}: {value}{note}"


def advice_of(result: AuditResult) -> Finding | None:
    """What is to be declared otherwise than the file and its head say, where anything is."""
    fixes = {finding.code: finding for finding in result.findings if finding.fix is not None}
    return next((fixes[code] for code in _BETTER if code in fixes), None)


def entry_of(model: Path, result: AuditResult, *, labels: str | None, guessed: bool) -> Entry:
    """The entry of a model that was measured: with what was found better than what its file and head say."""
    record, advice = result.models[0], advice_of(result)
    mended: Mapping[str, Any] = advice.fix.keys if advice is not None and advice.fix is not None else {}
    clean = next(cell for cell in result.cells if cell.is_clean and cell.is_declared)
    why = (f"measured: {advice.message}",) if advice is not None else ()
    settings = [
        Setting("name", model_name(model)),
        Setting("path", str(model), path=True),
        _labels(record, mended.get("labels", labels), guessed=guessed and "labels" not in mended),
        Setting("decoder", _decoder(record, mended.get("decoder")), note=record.sources["decoder"].note),
    ]
    if "input" in mended:
        settings.append(Setting("input", mended["input"], above=why))
    else:
        where = _origins(record)
        told = f"from {where}; no other input was surely better on {clean.images} images"
        settings.append(Setting("input", record.input.settings, above=(*why, told)))
    return Entry(tuple(settings))


def _labels(record: ModelRecord, labels: str | None, *, guessed: bool) -> Setting:
    if labels is None:
        return Setting("labels", None, above=(f"labels come from the file ({len(record.labels)})",))
    note = "guessed: the model has as many classes, and finds them; check the order" if guessed else ""
    return Setting("labels", labels, note=note, path=labels not in (*BUILT_IN_LABELS, DATASET_LABELS))


def _decoder(record: ModelRecord, mended: Any) -> Any:
    """The decoder with what the first images settled of it, and what is better."""
    settled = {
        key: value
        for key, value in record.decoder.options.items()
        if (source := record.sources.get(f"decoder.{key}")) is not None
        and source.origin == "images"
        and isinstance(value, str | int | float)
        and key != "label_offset"
    }
    changed = dict(mended) if isinstance(mended, Mapping) else {}
    options = {**settled, **{key: value for key, value in changed.items() if key != "name"}}
    return {"name": record.decoder.name, **options} if options else record.decoder.name


def _origins(record: ModelRecord) -> str:
    settings = record.input.settings
    origins = sorted({source.origin for key in settings if (source := record.sources.get(f"input.{key}")) is not None})
    return "what models with this head are trained with" if "default" in origins else ", ".join(origins)


def model_name(model: Path) -> str:
    """The name of a model's entry: its file's, as far as a name may have its characters."""
    name = "".join(character if character.isalnum() or character in "._-" else "_" for character in model.stem)
    return name if name[:1].isalnum() else f"model_{name}"


def relative(path: Path, output: Path) -> str:
    """A path as it stands in the file `output`."""
    return json.dumps(os.path.relpath(path.absolute(), output.absolute().parent))
