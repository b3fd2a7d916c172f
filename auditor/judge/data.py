"""Whether the data can carry the numbers, and resembles what the model is for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from auditor.values import AuditResult, Finding

__all__ = ["check_data"]

_FEW_IMAGES = 200
_FEW_INSTANCES = 10
_TINY = 0.2
"""Beyond this share of boxes under 8 pixels in the input, AP says more of the input size than of the model."""
_APART = 0.25
"""Two distributions further apart than this (Kolmogorov and Smirnov's D) are unlike, where chance cannot explain it."""

_CALLED = {
    "shorter_side_px": "resolution (shorter side, px)",
    "brightness": "brightness",
    "contrast": "contrast",
    "sharpness": "sharpness (variance of the Laplacian)",
}


def check_data(result: AuditResult) -> Iterator[Finding]:
    """Say what the data set lacks for its numbers to be trusted, and where calibration images are unlike evaluated
    ones."""
    for name, dataset in result.datasets.items():
        label = "the data set" if name == "default" else f"the data set {name}"
        yield from _size(dataset, label)
        yield from _truth(dataset, label)
    yield from _images(result)
    yield from _small_boxes(result)
    yield from _calibration(result)


def _size(dataset: Mapping[str, Any], label: str) -> Iterator[Finding]:
    classes = dataset.get("task") == "classification"
    if dataset["images"] < _FEW_IMAGES:
        size = f"{dataset['images']} images" + ("" if classes else f" and {dataset['boxes']} boxes")
        yield Finding(
            check="data",
            level="info",
            message=f"{label} has {size}: metrics of so few move by several points from sample to sample",
            remedy=f"Judge on {_FEW_IMAGES} images or more before a release, and read small differences as noise.",
            observed=dataset["images"],
            limit=_FEW_IMAGES,
        )
    rare = {category: count for category, count in dataset.get("instances", {}).items() if count < _FEW_INSTANCES}
    if rare:
        none = [category for category, count in rare.items() if not count]
        yield Finding(
            check="data",
            level="info",
            message=(
                f"{len(rare)} of {len(dataset['instances'])} classes of {label} have fewer than {_FEW_INSTANCES} "
                f"{'images' if classes else 'boxes'} "
                f"({_some([f'{category} {count}' for category, count in rare.items()])}){f', {len(none)} have none' if none else ''}"
            ),
            remedy="Read the per-class numbers of these classes as noise, or add images of them.",
            observed=len(rare),
        )


def _truth(dataset: Mapping[str, Any], label: str) -> Iterator[Finding]:
    counts = {
        **dataset["counts"],
        **{key: dataset.get(key, 0) for key in ("duplicate_images", "duplicate_boxes", "boxes_outside")},
    }
    told = {
        "missing_files": (
            "image files of {} are missing; they are left out of every cell",
            "Complete the images, or remove them from the annotations.",
        ),
        "zero_area_boxes": ("true boxes of {} have no area; they are left out", "Correct or remove these annotations."),
        "duplicate_images": (
            "images of {} stand there more than once, by their content",
            "Remove the copies: they weigh double, and flatter where they were trained on.",
        ),
        "duplicate_boxes": (
            "true boxes of {} stand there twice, same image, class and box",
            "Remove the copies: each can be found only once, so they lower recall.",
        ),
        "boxes_outside": (
            "true boxes of {} reach outside of their image by more than a pixel",
            "Clip them, or check that images and annotations are of one size.",
        ),
    }
    for key, (message, remedy) in told.items():
        if counts.get(key):
            yield Finding(
                check="data",
                level="warning",
                message=f"{counts[key]} {message.format(label)}",
                remedy=remedy,
                observed=counts[key],
            )
    if counts.get("difficult_objects"):
        yield Finding(
            check="data",
            level="info",
            message=f"{counts['difficult_objects']} objects of {label} are marked difficult; AP ignores them, as "
            "Pascal VOC does",
            remedy="Nothing, if they are hard even for people.",
            observed=counts["difficult_objects"],
        )


def _images(result: AuditResult) -> Iterator[Finding]:
    other = max((cell.counts.get("images_of_other_size", 0) for cell in result.cells), default=0)
    if other:
        yield Finding(
            check="data",
            level="warning",
            message=f"{other} images have another size than their annotations say; their true boxes are probably "
            "misplaced",
            remedy="Give the images that were annotated, or scale the annotations.",
            observed=other,
        )
    unreadable = max((cell.counts.get("failed_images", 0) for cell in result.cells if cell.status == "ok"), default=0)
    missing = sum(dataset["counts"].get("missing_files", 0) for dataset in result.datasets.values())
    if unreadable > missing:
        yield Finding(
            check="data",
            level="warning",
            message=f"{unreadable - missing} images could not be read; they are left out of every cell",
            remedy="Replace the damaged files; `counts.failed_images` of a cell in result.json has the number.",
            observed=unreadable - missing,
        )


def _small_boxes(result: AuditResult) -> Iterator[Finding]:
    told = set()
    for model in result.models:
        boxes = model.get("boxes_at_input") or {}
        key = model["dataset"], model["input"]["height"], model["input"]["width"], model["input"]["resize"]
        if not boxes.get("boxes") or key in told or boxes["under_8px"] < _TINY:
            continue
        told.add(key)
        yield Finding(
            check="data",
            level="warning",
            message=(
                f"{boxes['under_8px']:.0%} of the true boxes are under 8 px and {boxes['under_16px']:.0%} under 16 px "
                "(square root of the area) "
                f"at the {model['input']['width']} × {model['input']['height']} input of {model['name']}"
            ),
            remedy="Such objects can hardly be found at this input size: take a larger input or tiles, mount the "
            "camera nearer, or judge on boxes that matter.",
            cell={"model": model["model"], "file": model["name"]},
            observed=boxes["under_8px"],
            limit=_TINY,
        )


def _calibration(result: AuditResult) -> Iterator[Finding]:
    datasets = {model["name"]: model["dataset"] for model in result.models}
    for name, calibration in result.plan.get("calibration", {}).items():
        evaluated = result.datasets.get(datasets.get(name, ""), {}).get("facts", {})
        for fact, called in _CALLED.items():
            mine, theirs = calibration.get("facts", {}).get(fact, []), evaluated.get(fact, [])
            if not mine or not theirs:
                continue
            apart = distance(mine, theirs)
            if apart > max(_APART, _by_chance(len(mine), len(theirs))):
                yield Finding(
                    check="data",
                    level="warning",
                    message=f"the calibration images of {name} are unlike the evaluated ones in {called}: median "
                    f"{_median(mine):.3g} against {_median(theirs):.3g} (Kolmogorov-Smirnov D {apart:.2f})",
                    remedy="Calibrate on images like those of the deployment: ranges that were never seen are cut off.",
                    cell={"model": name},
                    observed=apart,
                    limit=_APART,
                )


def distance(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the largest distance of two samples' distribution functions. Source: Kolmogorov and Smirnov's D,
    two-sample.

    >>> distance([1, 2], [3, 4]), distance([1, 2], [1, 2])
    (1.0, 0.0)
    """
    values = sorted({*first, *second})
    return max(
        abs(sum(x <= value for x in first) / len(first) - sum(x <= value for x in second) / len(second))
        for value in values
    )


def _by_chance(first: int, second: int) -> float:
    """The D that samples of one distribution exceed once in a hundred: 1.63 sqrt((n + m) / nm)."""
    return 1.63 * math.sqrt((first + second) / (first * second))


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
