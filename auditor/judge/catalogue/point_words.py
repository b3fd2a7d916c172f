"""What is said of operating points."""

from __future__ import annotations

from auditor.judge.catalogue.row import row
from auditor.judge.told import Words
from auditor.values import OTHERS, some, yaml_flow

__all__: list[str] = []

Held = float | dict[str, float]


def _at(held: Held) -> str:
    return f"{held:g}" if isinstance(held, int | float) else f"its thresholds by class ({yaml_flow(held)})"


@row("point.moved", "operating_point", "warning", "operating", "A level's scores moved against the held threshold.")
def _moved(
    label: str,
    metric: str,
    before: float,
    now: float,
    held: Held,
    better: Held,
    restored: float,
    alarms: float,
    found: float,
) -> Words:
    cost = f"{alarms:+.2f} false alarms an image" if metric == "recall" else f"{found:+.3f} recall"
    return Words(
        f"{label}: at {_at(held)} its {metric} is {now:.3f} where the first level's is {before:.3f}, by more "
        f"than chance explains; at {_at(better)} it is {restored:.3f}, at {cost}",
        "Give this level a threshold of its own, in the deployment too:",
    )


@row("point.out_of_reach", "operating_point", "warning", "operating", "A level never reaches the held threshold.")
def _out_of_reach(label: str, ceiling: float, lost: list[str], held: float) -> Words:
    return Words(
        f"{label}: its highest score on all clean images is {ceiling:.3f}, below the threshold {held:g}"
        f"{'' if lost == [OTHERS] else f' of {some(lost, 6)}'}: above it nothing is ever found",
        "Lower the threshold, or find out what keeps its scores low (see the `quantization` findings).",
    )


@row("point.nothing", "operating_point", "warning", "operating", "Nothing is detected on any image.")
def _nothing(label: str, held: Held) -> Words:
    return Words(
        f"{label} detects nothing on any clean image at {_at(held)}: there is nothing that could flip",
        "Lower the threshold, or look whether the model is fed and read as it was trained.",
    )


@row("point.ceiling", "operating_point", "info", "operating", "A level's highest score is lower than the first one's.")
def _ceiling(label: str, ceiling: float, first: str, highest: float) -> Words:
    return Words(
        f"{label} never says more than {ceiling:.3f} where {first} says up to {highest:.3f}",
        "Do not carry a threshold above that over from one to the other.",
    )


@row("point.unreached", "operating_point", "warning", "operating", "No threshold reaches what was asked for.")
def _unreached(model: str, by: str, target: float, classes: list[str], reached: float | None) -> Words:
    overall = "" if reached is None else f" (overall it is {reached:.3f})"
    return Words(
        f"{model}: no threshold gives a {by} of {target:g} on clean images for {some(classes, 6)}; the nearest is held"
        f"{overall}",
        "Ask for what the model can do, or improve the model; every figure at this point is of a threshold that was "
        "not meant.",
    )


@row("point.unsure", "operating_point", "warning", "operating", "The images do not suffice for a sure recall.")
def _unsure(
    model: str, target: float, confidence: float, recall: float | None, images: int, enough: int | None
) -> Words:
    most = "" if recall is None else f": the lowest threshold finds {recall:.1%} of the objects"
    more = "no number of images would" if enough is None else f"about {enough:,} would, if it stayed at that"
    return Words(
        f"{model}: {images:,} images do not show a recall of {target:g} with {confidence:.0%} confidence{most}; {more}",
        "Audit on more images, or ask for less; the lowest threshold is held until then.",
    )


@row(
    "point.optimistic",
    "operating_point",
    "info",
    "operating",
    "The threshold was chosen on the images it is judged on.",
)
def _optimistic(model: str, here: dict[str, float], others: dict[str, float]) -> Words:
    return Words(
        f"{model}: its threshold was chosen on the images that it is judged on, which flatters it: expect F1 "
        f"{others['F1']:.3f} on others instead of {here['F1']:.3f} (precision {others['precision']:.3f}, recall "
        f"{others['recall']:.3f}, by cross-fitting over images)",
        "Audit on more images, or write the threshold that you deploy: `operating_point: {threshold: …}`.",
    )


@row("point.unknown", "operating_point", "warning", "operating", "No operating point could be chosen.")
def _unknown(model: str, reason: str) -> Words:
    return Words(
        f"{model} has no operating point, so nothing is said at one: {reason}",
        "Write the threshold that you deploy: `operating_point: {threshold: …}` in its entry.",
    )


@row(
    "point.weakest",
    "operating_point",
    "info",
    "operating",
    "Where most is missed, and most is found that is not there.",
)
def _weakest(
    label: str,
    severity: float,
    missing: str,
    recall: float,
    clean_recall: float | None,
    false: str,
    fppi: float,
    clean_fppi: float | None,
) -> Words:
    before = "undefined" if clean_recall is None else f"{clean_recall:.0%}"
    alarms = "undefined" if clean_fppi is None else f"{clean_fppi:.2f}"
    return Words(
        f"{label} finds {recall:.0%} of the objects instead of {before} under {missing} at severity {severity:g}, and "
        f"has {fppi:.2f} false alarms an image instead of {alarms} under {false}",
        "Set gates on these: `{metric: recall, scenario: …, severity: …, min: …}` and `{metric: fppi, max: …}`.",
    )
