"""A check of its own: data sets with crowded images, whose figures say little about single objects."""

from __future__ import annotations

from auditor.judge.told import Row, Told, Words


def check_crowded(result):
    """Tell data sets with two objects an image or more."""
    for name, dataset in result.datasets.items():
        mean = (dataset.boxes or 0) / dataset.images
        if mean >= 2:
            yield Told("crowded.images", {"dataset": name, "mean": mean}, observed=mean)


def _crowded(dataset, mean):
    return Words(f"images of {dataset} show {mean:.1f} objects on average", "Audit single objects apart.")


CATALOGUE = {
    "crowded.images": Row("crowded", "info", "Images show two objects or more.", "datasets", _crowded),
}
