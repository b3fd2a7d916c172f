"""What is said of how a model is fed, decoded and labelled."""

from __future__ import annotations

from auditor.judge.catalogue.row import Interval, row
from auditor.judge.told import Words
from auditor.values import some

__all__: list[str] = []


@row("input.broken", "input_contract", "error", "input", "A model finds next to nothing on clean images.")
def _broken(label: str, metric: str, value: float) -> Words:
    return Words(
        f"{label} has {metric} {value:.3f} on clean images: it is probably fed or decoded wrongly, or broken by its "
        "export",
        "Check `input:` (color, mean, std, resize), `decoder:` (box_format, box_unit) and `labels:` against the "
        "training code; the report lists each with its source.",
    )


def _better(what: str, metric: str, declared: float, images: int, other: str, reached: float, gain: float) -> str:
    return (
        f"{what} and reaches {metric} {declared:.3f} on {images} clean images; with {other} it reaches {reached:.3f} "
        f"(+{gain:.3f}"
    )


def _with_comparisons(message: str, low: float, high: float, comparisons: int) -> str:
    return f"{message}; {low:+.3f} to {high:+.3f} at 95 % over all {comparisons} comparisons)"


@row("input.better", "input_contract", "warning", "input", "Another input contract is better than chance explains.")
def _input_better(
    file: str,
    declared_as: str,
    metric: str,
    declared: float,
    images: int,
    other: str,
    reached: float,
    gain: float,
    low: float,
    high: float,
    comparisons: int,
    line: str,
) -> Words:
    message = _better(f"{file} is fed {declared_as}", metric, declared, images, other, reached, gain)
    return Words(_with_comparisons(message, low, high, comparisons), f"Write in its entry of audit.yaml: {line}")


@row("tiles.gain", "tiles", "info", "input", "What feeding a model in tiles brings, and costs.")
def _tiles_gain(
    file: str,
    beside: str,
    delegate: str,
    size: list[int],
    metric: str,
    value: float,
    whole: float,
    small: list[float],
    times: list[float],
) -> Words:
    of_small = f", of small objects {small[0]:.3f} instead of {small[1]:.3f}" if small else ""
    cost = f", and takes {times[0] / times[1]:.1f} times as long ({times[0]:.1f} ms an image)" if times else ""
    return Words(
        f"in tiles of {size[1]} × {size[0]} px {file} has {metric} {value:.3f} on clean images instead of {whole:.3f} "
        f"of {beside}{of_small}{cost} ({delegate})",
        "Feed tiles where the small objects are worth the time; larger tiles or less overlap cost less. Both entries "
        "stand in the matrix under every scenario.",
    )


@row("labels.better", "labels", "warning", "datasets", "Other labels, or another offset, read the model better.")
def _labels_better(
    file: str,
    metric: str,
    declared: float,
    images: int,
    other: str,
    reached: float,
    gain: float,
    low: float,
    high: float,
    comparisons: int,
    line: str,
) -> Words:
    message = _better(f"{file} is read with its declared labels", metric, declared, images, other, reached, gain)
    return Words(_with_comparisons(message, low, high, comparisons), f"Write in its entry of audit.yaml: {line}")


@row("boxes.better", "input_contract", "warning", "heads", "Boxes in another order or unit read the model better.")
def _boxes_better(
    file: str,
    metric: str,
    declared: float,
    images: int,
    other: str,
    reached: float,
    gain: float,
    low: float,
    high: float,
    comparisons: int,
    line: str,
) -> Words:
    message = _better(f"{file} is read with its declared boxes", metric, declared, images, other, reached, gain)
    return Words(_with_comparisons(message, low, high, comparisons), f"Write in its entry of audit.yaml: {line}")


@row(
    "input.unusual",
    "input_contract",
    "warning",
    "input",
    "A model is not fed letterboxed images as its head's models are trained, and these images do not tell.",
)
def _unusual(
    file: str, declared_as: str, head: str, images: int, other: str, gain: float, low: float, high: float, line: str
) -> Words:
    return Words(
        f"{file} is fed {declared_as}, but models with a {head} head are trained on letterboxed images; {images} "
        "images "
        f"do not tell them apart ({other}: {gain:+.3f}, {low:+.3f} to {high:+.3f} at 95 %)",
        f"Unless the training code stretches, write in its entry of audit.yaml: {line}",
    )


@row("input.sound", "input_contract", "info", "input", "No other input contract is better.")
def _sound(
    file: str,
    tried: int,
    declared_as: str,
    metric: str,
    declared: float,
    images: int,
    other: str,
    reached: float,
    gain: float,
    interval: Interval,
    undecided: bool,
    broken: bool,
) -> Words:
    remedy = "Nothing: it is fed as it was trained, as far as these images tell."
    if undecided:
        remedy = f"{images} images do not decide whether {other} is better: judge on more."
    elif broken:
        remedy = "None of these inputs makes it work: check `decoder:` and `labels:`, and the file itself."
    shown = "" if interval is None else f", {interval[0]:+.3f} to {interval[1]:+.3f} at 95 % over all comparisons"
    return Words(
        f"{file}: no other input contract or reading of {tried} is surely better: declared {declared_as} "
        f"reaches {metric} {declared:.3f} on {images} clean images, "
        f"the next best ({other}) {reached:.3f} ({gain:+.3f}{shown})",
        remedy,
    )


@row("input.overconfident", "input_contract", "warning", "input", "A classifier's confidence is far from its accuracy.")
def _overconfident(
    label: str,
    metric: str,
    value: float,
    images: int,
    error: float,
    other: str,
    other_images: int,
    other_error: float,
    line: str,
) -> Words:
    remedy = (
        "Scale the logits by a temperature that is fitted on held-out images (Guo et al. 2017), or do not read its "
        "scores as probabilities."
    )
    if other:
        reached = f"its ECE is {other_error:.3f} on {other_images} images"
        remedy = f"First check the input: fed {other} {reached} ({line}). {remedy}"
    return Words(
        f"{label}: its confidence is not its accuracy: {metric} is {value:.3f} on {images} images, but the expected "
        f"calibration error {error:.3f}",
        remedy,
    )


@row("labels.aliases", "labels", "info", "datasets", "Classes are matched by the list of aliases.")
def _aliases(file: str, pairs: list[str]) -> Words:
    return Words(
        f"{file}: {len(pairs)} classes are matched by the list of aliases: {some(pairs, 6)}",
        "Nothing, if these are the same classes; else rename one of each pair.",
    )


@row("labels.coverage", "labels", "warning", "datasets", "Most classes, or most of the truth, are not judged.")
def _coverage(
    file: str,
    metric: str,
    judged: int,
    model_classes: int,
    truth_classes: int,
    lost: int,
    objects: int,
    things: str,
    extra: list[str],
    missing: list[str],
) -> Words:
    return Words(
        f"{metric} of {file} is over {judged} classes alone, of its {model_classes} and of the data set's "
        f"{truth_classes}; {lost} of {objects} {things} are of classes that it has no name for (the data set "
        f"has for example {some(missing)}, the model {some(extra) or 'lines without a name'})",
        "Check `labels`: classes are matched by name. If the model is not meant to know these, judge it on "
        "data of what it is meant for.",
    )


@row("labels.repeated", "labels", "warning", "datasets", "Labels of a model stand more than once.")
def _repeated(file: str, repeated: list[str]) -> Words:
    return Words(
        f"the labels of {file} name {len(repeated)} classes more than once ({some(repeated, 6)}): what it finds of any "
        "of these counts as one class",
        "Check `labels`: a class that is written twice stands in the place of another.",
    )


@row("labels.missing", "labels", "info", "datasets", "The model has no label for classes of the data set.")
def _missing(file: str, missing: list[str], metric: str, judged: int) -> Words:
    return Words(
        f"{file} has no label for {len(missing)} of the data set's classes ({some(missing, 6)}); {metric} is over the "
        f"{judged} shared",
        "Nothing, if the model is not meant to find these; else check `labels`.",
    )


@row("labels.extra", "labels", "info", "datasets", "The data set has no truth for classes of the model.")
def _extra(file: str, extra: list[str]) -> Words:
    return Words(
        f"the data set has no truth for {len(extra)} classes of {file} ({some(extra, 6)}); what it predicts of them "
        "counts neither as right nor as a false alarm",
        "Nothing, if these do not matter; else add annotations of these classes, since nothing tells how well they are "
        "found.",
    )
