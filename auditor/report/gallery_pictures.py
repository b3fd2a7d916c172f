"""The gallery of a run as the report embeds it: its record, and its pictures as data URIs."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from auditor.config import parse_gallery
from auditor.errors import StoreError
from auditor.report.ladder_rows import Row, rows_of_result
from auditor.store import load_json
from auditor.values import CLEAN, LOCAL, AuditResult, GalleryImage, GalleryRecord, Mark, SeenImage, picture_key

__all__ = ["Gallery", "Shot", "load_gallery"]


@dataclass(frozen=True)
class Shot:
    """One image in one condition: what each model says of it, and its pictures of that and of the clean image."""

    image: GalleryImage
    number: int
    scenario: str
    severity: float
    seen: tuple[SeenImage, ...]

    @property
    def key(self) -> str:
        """The name of its picture."""
        return picture_key(self.scenario, self.severity)


@dataclass(frozen=True)
class Gallery:
    """A gallery with its pictures: data URIs by the files' names."""

    record: GalleryRecord
    pictures: Mapping[str, str]

    def source(self, image: GalleryImage, key: str) -> str:
        """The picture of an image in a condition; empty where there is none."""
        return self.pictures.get(image.pictures.get(key, ""), "")

    def shots(self) -> dict[str, list[Shot]]:
        """By scenario its images, those that lose most over all models first; clean ones first."""
        grouped: dict[tuple[str, float, int], list[SeenImage]] = {}
        for item in self.record.seen:
            grouped.setdefault((item.scenario, item.severity, item.image), []).append(item)
        found: dict[str, list[Shot]] = {}
        for (scenario, severity, number), seen in grouped.items():
            shot = Shot(self.record.images[number], number, scenario, severity, tuple(seen))
            found.setdefault(scenario, []).append(shot)
        for shots in found.values():
            shots.sort(key=lambda shot: -max(item.lost for item in shot.seen))
        return dict(sorted(found.items(), key=lambda item: item[0] != CLEAN))

    def document(self, result: AuditResult) -> dict[str, object]:
        """What the page's script knows: labels, images, and what models say, in short lists; pictures stand on the
        page itself."""
        rows = {
            (summary.file, summary.delegate): number
            for number, summary in enumerate(result.summaries)
            if summary.device == LOCAL
        }
        labels: dict[str, int] = {}

        def marks(found: Sequence[Mark]) -> list[list[object]]:
            return [
                [
                    labels.setdefault(mark.label, len(labels)),
                    None if mark.box is None else [round(value) for value in mark.box],
                    mark.score if mark.score is None else round(mark.score, 3),
                    mark.partner,
                ]
                for mark in found
            ]

        images = [
            {"name": image.name, "size": [image.width, image.height], "truth": marks(image.truth)}
            for image in self.record.images
        ]
        seen = [
            [
                rows[item.file, item.delegate],
                item.scenario,
                item.severity,
                item.image,
                item.lost,
                item.alarms,
                marks(item.found),
            ]
            for item in self.record.seen
            if (item.file, item.delegate) in rows
        ]
        return {
            "labels": list(labels),
            "images": images,
            "seen": seen,
            "boxes": self.record.has_boxes,
            "why": [_why(result, row) for row in rows_of_result(result)],
            "thresholds": [_thresholds(result, item.model, item.quantization) for item in result.summaries],
        }


def _why(result: AuditResult, row: Row) -> str:
    """Why there is nothing to show of a row; empty where there could be."""
    if row.summary.device != LOCAL:
        return f"measured on {row.summary.device}: there are pictures of what was measured here alone"
    if row.clean is None or row.clean.status != "ok":
        status, error = ("not measured", "") if row.clean is None else (row.clean.status, row.clean.error or "")
        return f"{status}: {' '.join(error.split())[-200:]}".rstrip(": ")
    return "it finds next to nothing on clean images, so that nothing can be lost" if row.is_broken(result) else ""


def _thresholds(result: AuditResult, model: str, level: str) -> dict[str, object] | None:
    """The thresholds that a level is held at."""
    point = result.operating_point(model)
    if point is None:
        return None
    thresholds = point.at(level).thresholds
    return {"others": thresholds.others, "classes": dict(thresholds.by_class)}


def load_gallery(folder: Path) -> Gallery | None:
    """Read the gallery of a run folder; None where it has none that can be read. Pictures may be missing."""
    path = folder / "gallery" / "index.json"
    if not path.is_file():
        return None
    try:
        record = parse_gallery(load_json(path))
    except StoreError:
        return None
    if record is None or not record.seen:
        return None
    pictures = {}
    for image in record.images:
        for name in image.pictures.values():
            file = folder / "gallery" / Path(name).name
            if file.is_file():
                pictures[name] = f"data:image/webp;base64,{base64.b64encode(file.read_bytes()).decode()}"
    return Gallery(record, pictures)
