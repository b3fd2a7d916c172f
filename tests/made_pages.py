"""Results as large as audits get, and with the worst names, for the tests of pages."""

from __future__ import annotations

import base64
import dataclasses
import random

import cv2
import numpy as np
from made_results import MODEL, PROVENANCE, made_cell, made_result

from auditor import extensions
from auditor.config import result_document
from auditor.judge.catalogue import CATALOGUE
from auditor.judge.verdict import judge
from auditor.report.gallery_pictures import Gallery
from auditor.report.page import render_report
from auditor.values import (
    AtThreshold,
    AuditResult,
    DatasetRecord,
    DelegateRecord,
    ErrorCost,
    ErrorTypes,
    GalleryImage,
    GalleryRecord,
    Judging,
    Mark,
    MetricValue,
    Moved,
    OperatingPoint,
    PlanRecord,
    Rule,
    ScenarioRecord,
    SeenImage,
    Thresholds,
)

LEVELS = ("float32", "float16", "dynamic", "int8", "int16x8")
PACKS = ("lighting", "resolution", "noise", "weather")
JUDGING = Judging(
    "AP",
    broken_below=0.02,
    things="boxes",
    about="COCO average precision",
    at_point={
        "recall": "share found",
        "fppi": "false positives per image",
        "F1": "harmonic mean",
        "flicker": "comes and goes",
    },
    over_frames=("flicker",),
    decided_by=("AP", "F1"),
    lower_is_better=("fppi", "flips", "flicker"),
)
WICKED = "<img src=x onerror=\"document.title='broken'\">"
"""A name that runs a script where it is not escaped."""


def wide_result(
    *, models: int = 5, scenarios: int = 20, severities: int = 5, names: tuple[str, ...] = (), levels: int = 1
) -> AuditResult:
    """A judged result of `models` families of `levels` each; `names` are those of the first families' files."""
    rng = random.Random(1)
    files = [
        (names[n] if n < len(names) else f"model_{n}", LEVELS[m % 5]) for n in range(models) for m in range(levels)
    ]
    keys = [f"{PACKS[n % 4]}/condition_{n}" for n in range(scenarios)]
    cells = []
    for number, (name, level) in enumerate(files):
        file = name if level == "float32" else f"{name}_{level}"
        clean = 0.7 - 0.03 * number % 0.4
        base = {"model": name, "file": file, "quantization": level, "images": 200}
        cells.append(_cell("clean", 0, clean, clean, rng, **base))
        for place, key in enumerate(keys):
            for severity in range(1, severities + 1):
                kept = max(0.05, 1 - severity * (0.03 + 0.011 * (place % 13)))
                cells.append(_cell(key, severity, clean * kept, clean, rng, **base))
    records = tuple(
        dataclasses.replace(
            MODEL,
            name=cell.file,
            model=cell.model,
            quantization=cell.quantization,
            judging=JUDGING,
            size_bytes=4_000_000,
        )
        for cell in cells
        if cell.is_clean
    )
    plan = PlanRecord(
        severities=tuple(float(severity) for severity in range(1, severities + 1)),
        scenarios=tuple(
            ScenarioRecord(key, 1, f"What {key} stands for.", "exposure, stops", {"stops": (-1, -2, -3, -4, -5)}, ())
            for key in sorted(keys)
        ),
        delegates=(DelegateRecord("xnnpack", "xnnpack"),),
        gates=(Rule("AP", "min", 0.45, {"scenario": keys[-1], "severity": 3.0}, line=9),),
    )
    points = tuple(
        OperatingPoint(name, "threshold", Thresholds(0.5), 0.5, chosen_on="given", images=200)
        for name in dict.fromkeys(name for name, _ in files)
    )
    data = DatasetRecord("coco", "detection", 200, 900, ("person", "dog"), {}, "f")
    provenance = dataclasses.replace(
        PROVENANCE, started="2026-01-01T00:00:00+00:00", finished="2026-01-01T01:00:00+00:00"
    )
    made = made_result(cells, models=records, plan=plan, operating_points=points, datasets={"default": data})
    made = dataclasses.replace(made, name="a wide audit", provenance=provenance)
    return judge(made, extensions.every("checks"), CATALOGUE)


def _cell(scenario, severity, value, clean, rng, **facts):
    def metric(name, number, spread, *, lower=False):
        interval = (max(0.0, number - spread), number + spread)
        return MetricValue(name, round(number, 4), interval=interval, higher_is_better=not lower, images=200)

    noise = rng.uniform(-0.01, 0.01)
    metrics = {
        "AP": metric("AP", max(0.0, value + noise), 0.03),
        "recall": metric("recall", min(1.0, value + 0.2), 0.03),
        "fppi": metric("fppi", 0.3 + 4 * (clean - value), 0.1, lower=True),
        "F1": metric("F1", min(1.0, value + 0.1), 0.03),
        "flicker": metric("flicker", 0.05 + clean - value, 0.02, lower=True),
    }
    if severity:
        lost = value - clean
        metrics["AP_minus_clean"] = MetricValue("AP_minus_clean", lost, interval=(lost - 0.03, lost + 0.03))
        metrics["flips"] = metric("flips", min(1.0, -lost + 0.02), 0.02, lower=True)
    errors = ErrorTypes(
        200, tuple(ErrorCost(kind, 0.02 + severity * 0.01, 9) for kind in ("class", "background", "missed"))
    )
    curve = tuple(
        AtThreshold(t / 0.5, t, 0.5 + t / 2, 1 - t, 2 * (0.5 + t / 2) * (1 - t) / (1.5 - t / 2), 2 * (1 - t))
        for t in (0.1, 0.3, 0.5, 0.7, 0.9)
    )
    moved = Moved(0.99, curve[2], curve=() if severity else curve)
    return dataclasses.replace(
        made_cell(scenario, float(severity), value, **facts), metrics=metrics, errors=errors, moved=moved
    )


def wide_gallery(result: AuditResult, *, images: int = 12, side: int = 480, label: str = "person") -> Gallery:
    """A gallery of that result, with a picture of every image that it shows."""
    rng = np.random.default_rng(1)
    middle = result.plan.middle_severity or 0.0
    keys = [scenario.key for scenario in result.plan.scenarios]
    shown, pictures, seen = [], {}, []
    for number in range(images):
        truth = (
            Mark(label, (20.0, 30.0, 120.0, 200.0)),
            Mark("dog", (200.0, 60.0, 300.0, 160.0)),
            Mark("dog", (330.0, 200.0, 400.0, 280.0)),
        )
        files = {}
        for key, severity in (("clean", 0.0), *((key, middle) for key in keys)):
            name = f"{number}-{key.replace('/', '-')}.webp"
            pictures[name] = picture(rng, side, number)
            files[f"{key}@{severity:g}"] = name
        shown.append(GalleryImage("default", number + 1, f"image_{number}.jpg", side, side * 3 // 4, truth, files))
    for summary in result.summaries:
        for key, severity in (("clean", 0.0), *((key, middle) for key in keys)):
            for number in range(images):
                found = (
                    Mark(label, (22.0, 31.0, 121.0, 199.0), 0.9, 0),
                    Mark("dog", (201.0, 60.0, 301.0, 161.0), 0.55, 1),
                    Mark("dog", (50.0, 220.0, 110.0, 290.0), 0.7 + number / 100),
                    Mark("dog", (329.0, 201.0, 401.0, 279.0), 0.3, 2),
                )
                seen.append(SeenImage(summary.file, summary.delegate, key, severity, number, 1, 1, found))
    return Gallery(GalleryRecord(tuple(shown), tuple(seen), side, 6.0), pictures)


def picture(rng, side: int, number: int) -> str:
    """A picture with as much detail as a photograph has."""
    coarse = rng.integers(0, 255, (side // 16, side // 12, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (side, side * 3 // 4), interpolation=cv2.INTER_CUBIC)
    cv2.putText(image, str(number), (30, 60), cv2.FONT_HERSHEY_SIMPLEX, 2, (255, 255, 255), 3)
    _, content = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 68])
    return f"data:image/webp;base64,{base64.b64encode(content.tobytes()).decode()}"


def rendered(result: AuditResult, gallery: Gallery | None = None) -> str:
    """The page of a result."""
    return render_report(result, {}, gallery, document=result_document(result))
