"""Whether the data can carry the numbers, and resembles what the model is for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from auditor.judge.told import Told
from auditor.values import AuditResult, DatasetRecord, Json, Level, Patch

__all__ = ["check_data", "distance"]

_FEW_IMAGES = 200
_FEW_INSTANCES = 10
_TINY = 0.2
"""Beyond this share of boxes under 8 pixels in the input, AP says more of the input size than of the model."""
_APART = 0.25
"""Two distributions further apart than this (Kolmogorov and Smirnov's D) are unlike, where chance cannot explain it."""

_HARDLY = 14
"""Images of 16 bits that use so few at most are those of a camera of as many, not dark ones."""
_NAMED = 10
_MISSING = "no such file"

_FEW_BLOCKS = 30
"""A minute of blocks of two seconds."""
_COUNTED = (
    "missing_files",
    "zero_area_boxes",
    "duplicate_images",
    "duplicate_boxes",
    "boxes_outside",
    "boxes_in_corner",
    "images_without_line",
    "damaged_packets",
    "missing_frames",
    "objects_without_track",
)

_CALLED = {
    "shorter_side_px": "resolution (shorter side, px)",
    "brightness": "brightness",
    "contrast": "contrast",
    "sharpness": "sharpness (variance of the Laplacian)",
}


def check_data(result: AuditResult) -> Iterator[Told]:
    """Say what the data set lacks for its numbers to be trusted, and where calibration images are unlike evaluated
    ones."""
    for name, dataset in result.datasets.items():
        label = "the data set" if name == "default" else f"the data set {name}"
        things = next((model.judging.things for model in result.models if model.dataset == name), "objects")
        if not dataset.is_labelled:
            yield Told("data.unlabelled", {"dataset": label, "images": dataset.images})
        yield from _size(dataset, label, things)
        yield from _short(result, name, dataset, label)
        yield from _truth(dataset, label)
    yield from _images(result)
    yield from _small_boxes(result)
    yield from _calibration(result)


def _size(dataset: DatasetRecord, label: str, things: str) -> Iterator[Told]:
    if dataset.images < _FEW_IMAGES:
        yield Told(
            "data.few_images",
            facts={
                "dataset": label,
                "images": dataset.images,
                "boxes": dataset.boxes if things == "boxes" and dataset.is_labelled else None,
                "enough": _FEW_IMAGES,
            },
            observed=dataset.images,
            limit=_FEW_IMAGES,
        )
    rare = {category: count for category, count in dataset.instances.items() if count < _FEW_INSTANCES}
    if rare:
        yield Told(
            "data.rare_classes",
            facts={
                "dataset": label,
                "rare": [f"{category} {count}" for category, count in rare.items()],
                "classes": len(dataset.instances),
                "few": _FEW_INSTANCES,
                "things": things,
                "without": sum(not count for count in rare.values()),
            },
            observed=len(rare),
        )


def _short(result: AuditResult, name: str, dataset: DatasetRecord, label: str) -> Iterator[Told]:
    """A clip of which hardly anything can be said beyond it."""
    of_clip = {model.name for model in result.models if model.dataset == name}
    blocks = next((cell.blocks for cell in result.cells if cell.file in of_clip and cell.blocks is not None), None)
    if blocks is not None and blocks < _FEW_BLOCKS:
        facts: dict[str, Json] = {
            "dataset": label,
            "frames": dataset.images,
            "blocks": blocks,
            "tracks": int(dataset.about.get("tracks", 0)),
            "enough": _FEW_BLOCKS,
        }
        yield Told("data.short_clip", facts, observed=blocks, limit=_FEW_BLOCKS)


def _truth(dataset: DatasetRecord, label: str) -> Iterator[Told]:
    counts = {
        **dataset.counts,
        "duplicate_images": dataset.duplicate_images,
        "duplicate_boxes": dataset.duplicate_boxes,
        "boxes_outside": dataset.boxes_outside,
        "boxes_in_corner": dataset.boxes_in_corner,
    }
    facts: dict[str, Json]
    for name in (*_COUNTED, "difficult_objects"):
        if counts.get(name):
            facts = {"count": counts[name], "dataset": label}
            if name == "missing_files":
                facts["named"] = list(_named(dataset, missing=True)[:_NAMED])
            yield Told(f"data.{name}", facts, observed=counts[name])
    lost = dataset.counts.get("missing_labels", 0)
    if lost:
        facts = {"dataset": label, "count": lost, "images": dataset.images}
        level: Level = "warning" if lost > dataset.images / 2 else "info"
        yield Told("data.missing_labels", facts, observed=float(lost), level=level)
    if "pixels_counted_from" in dataset.about and "first_pixel" not in dataset.about:
        yield Told("data.first_pixel", {"dataset": label, "first": dataset.about["pixels_counted_from"]})
    every, last = dataset.about.get("boxes_on_every"), dataset.about.get("last_box_on")
    without = dataset.counts.get("images_without_truth", 0)
    facts = {"dataset": label, "frames": dataset.images, "without": without}
    if every is not None:
        yield Told("data.sparse_truth", {**facts, "every": every}, observed=without)
    elif last is not None:
        yield Told("data.truth_ends", {**facts, "last": last}, observed=without)
    yield from _left_open(dataset, label)


def _named(dataset: DatasetRecord, *, missing: bool) -> list[str]:
    """The images that are missing, or that are there and cannot be read, each with what is wrong."""
    lost = [(path, reason) for path, reason in dataset.unreadable.items() if (_MISSING in reason.lower()) == missing]
    return [path if missing else f"{path}: {reason}" for path, reason in lost]


def _left_open(dataset: DatasetRecord, label: str) -> Iterator[Told]:
    """What the bytes of images do not say, and the document does not either."""
    used = dataset.bits_used
    facts: dict[str, Json]
    if 0 < used <= _HARDLY and "bits" not in dataset.about:
        patch = Patch({"images": {"bits": max(8, used)}})
        yield Told(
            "data.dark_bits",
            {"dataset": label, "count": dataset.deep_images, "used": used, "line": str(patch)},
            observed=float(used),
            limit=float(_HARDLY),
            fix=patch,
        )
    elif dataset.low_images and dataset.low_images < dataset.deep_images and "bits" not in dataset.about:
        told: dict[str, Json] = {
            "dataset": label,
            "count": dataset.low_images,
            "deep": dataset.deep_images,
            "used": used,
        }
        yield Told("data.mixed_bits", told, observed=float(dataset.low_images))
    if dataset.beyond_bits:
        facts = {"dataset": label, "count": dataset.beyond_bits, "bits": dataset.about.get("bits"), "used": used}
        yield Told("data.beyond_bits", facts, observed=float(dataset.beyond_bits))
    if dataset.undecided_exif and "exif" not in dataset.about:
        facts = {"dataset": label, "count": dataset.undecided_exif, "images": dataset.images}
        yield Told("data.undecided_exif", facts, observed=float(dataset.undecided_exif))


def _images(result: AuditResult) -> Iterator[Told]:
    other = max((cell.counts.get("images_of_other_size", 0) for cell in result.cells), default=0)
    if other:
        yield Told("data.other_size", {"count": other}, observed=other)
    measured = [cell for cell in result.cells if cell.status == "ok"]
    unreadable = max((cell.counts.get("failed_images", 0) for cell in measured), default=0)
    missing = sum(dataset.counts.get("missing_files", 0) for dataset in result.datasets.values())
    named = [name for dataset in result.datasets.values() for name in _named(dataset, missing=False)]
    count = max(unreadable - missing, len(named))
    if count > 0:
        facts: dict[str, Json] = {"count": count, "named": list(named[:_NAMED])}
        yield Told("data.unreadable", facts, observed=count)


def _small_boxes(result: AuditResult) -> Iterator[Told]:
    told = set()
    for model in result.models:
        boxes = model.boxes_at_input
        key = model.dataset, model.input.height, model.input.width, model.input.resize
        if boxes is None or not boxes.boxes or key in told or boxes.under_8px < _TINY:
            continue
        told.add(key)
        yield Told(
            "data.small_boxes",
            facts={
                "file": model.name,
                "under_8px": boxes.under_8px,
                "under_16px": boxes.under_16px,
                "width": model.input.width,
                "height": model.input.height,
            },
            cell={"model": model.model, "file": model.name},
            observed=boxes.under_8px,
            limit=_TINY,
        )


def _calibration(result: AuditResult) -> Iterator[Told]:
    datasets = {model.name: model.dataset for model in result.models}
    for entry, calibration in result.plan.calibration.items():
        evaluated = result.datasets.get(datasets.get(entry, ""))
        for fact, called in _CALLED.items():
            mine = calibration.facts.get(fact, ())
            theirs = evaluated.facts.get(fact, ()) if evaluated is not None else ()
            if not mine or not theirs:
                continue
            apart = distance(mine, theirs)
            if apart > max(_APART, _by_chance(len(mine), len(theirs))):
                yield Told(
                    "data.calibration_unlike",
                    facts={
                        "entry": entry,
                        "fact": called,
                        "mine": _median(mine),
                        "theirs": _median(theirs),
                        "apart": apart,
                    },
                    cell={"model": entry},
                    observed=apart,
                    limit=_APART,
                )


def distance(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the largest distance of two samples' distribution functions. Source: Kolmogorov and Smirnov's D,
    two-sample.

    >>> distance([1, 2], [3, 4]), distance([1, 2], [1, 2])
    (1.0, 0.0)
    """

    def below(values: Sequence[float], end: float) -> float:
        return sum(value <= end for value in values) / len(values)

    return max(abs(below(first, value) - below(second, value)) for value in {*first, *second})


def _by_chance(first: int, second: int) -> float:
    """The D that samples of one distribution exceed once in a hundred: 1.63 sqrt((n + m) / nm)."""
    return 1.63 * math.sqrt((first + second) / (first * second))


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
