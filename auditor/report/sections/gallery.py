"""What models saw: of each scenario the images on which most is lost, and what may be missing in the truth."""

from __future__ import annotations

from auditor.report.gallery_pictures import Gallery, Shot
from auditor.report.ladder_rows import at_knob, is_judged, rows_of_result, scenario_names
from auditor.report.section import Facts, Section, Shown
from auditor.values import CLEAN, LOCAL, AuditResult, Mark, SeenImage, picture_key

__all__ = ["SECTION"]


def _facts(shown: Shown) -> Facts | None:
    result, gallery = shown.result, shown.gallery
    suspects = [
        {"suspect": suspect, "picture": shown.pictures.get(f"suspect {number}")}
        for number, suspect in enumerate(result.suspects)
    ]
    unlabelled = bool(result.datasets) and not is_judged(result)
    if gallery is None and not suspects and not unlabelled:
        return None
    return {
        "unlabelled": unlabelled,
        "rolls": [] if gallery is None else _rolls(result, gallery),
        "gallery": gallery,
        "rows": rows_of_result(result),
        "suspects": suspects,
    }


def _rolls(result: AuditResult, gallery: Gallery) -> list[dict[str, object]]:
    """The images of each scenario, and of clean ones."""
    records = {scenario.key: scenario for scenario in result.plan.scenarios}
    names = scenario_names(result)
    rows = [row for row in rows_of_result(result) if row.summary.device == LOCAL]
    labels = {(row.summary.file, row.summary.delegate): row.label for row in rows}
    rolls: list[dict[str, object]] = []
    for scenario, shots in gallery.shots().items():
        severity = shots[0].severity
        at = "" if scenario == CLEAN else f", {_at(at_knob(records.get(scenario), severity), severity)}"
        rolls.append(
            {
                "scenario": scenario,
                "title": f"{scenario}{at}",
                "column": names.index(scenario) if scenario in names else -1,
                "shots": [_shot(gallery, shot, labels) for shot in shots],
                "lost": sum(max(item.lost for item in shot.seen) for shot in shots),
            }
        )
    others = _clean_of_others(gallery)
    return [*rolls, others] if others["shots"] else rolls


def _at(knob: str, severity: float) -> str:
    return knob if knob.startswith("severity") else f"{knob} (severity {severity:g})"


def _clean_of_others(gallery: Gallery) -> dict[str, object]:
    """The clean pictures of images that lose something in a scenario alone: what the divider uncovers."""
    there = {shot.number for shot in gallery.shots().get(CLEAN, ())}
    key = picture_key(CLEAN, 0)
    shots = [
        {"image": image, "number": number, "key": key, "source": source, "missed": (), "told": (), "worst": ""}
        for number, image in enumerate(gallery.record.images)
        if number not in there and (source := gallery.source(image, key))
    ]
    return {"scenario": "", "title": "the clean pictures of the others", "column": -1, "shots": shots, "lost": 0}


def _shot(gallery: Gallery, shot: Shot, labels: dict[tuple[str, str], str]) -> dict[str, object]:
    worst = max(shot.seen, key=lambda item: item.lost)
    return {
        "image": shot.image,
        "number": shot.number,
        "key": shot.key,
        "source": gallery.source(shot.image, shot.key),
        "missed": _missed(shot, worst),
        "worst": labels.get((worst.file, worst.delegate), worst.file),
        "told": _told(shot, labels),
    }


def _missed(shot: Shot, item: SeenImage) -> list[Mark]:
    """The true objects that a model does not find: what is listed of it holds these with lower scores too, so that this
    is the least of what it misses."""
    there = {mark.partner for mark in item.found}
    return [mark for position, mark in enumerate(shot.image.truth) if position not in there and mark.box is not None]


def _told(shot: Shot, labels: dict[tuple[str, str], str]) -> list[str]:
    """What each model loses and falsely finds on an image, in words; alike ones together."""
    by_words: dict[str, list[str]] = {}
    for item in shot.seen:
        lost = "misses" if shot.scenario == CLEAN else "loses"
        words = f"{lost} {item.lost} of {len(shot.image.truth)}, {item.alarms} false"
        by_words.setdefault(words, []).append(labels.get((item.file, item.delegate), item.file))
    return [f"{', '.join(names)}: {words}" for words, names in by_words.items()]


SECTION = Section("gallery", 35, _facts, "gallery.html.j2", title="Pictures")
