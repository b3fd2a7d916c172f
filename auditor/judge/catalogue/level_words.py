"""What is said of quantization levels."""

from __future__ import annotations

from auditor.judge.catalogue.row import Interval, paired, row
from auditor.judge.told import Words
from auditor.values import some, yaml_flow

__all__: list[str] = []


@row("quantization.unreadable_calibration", "quantization", "warning", "quantization", "Calibration images unread.")
def _unreadable_calibration(entry: str, unreadable: int, images: int) -> Words:
    return Words(
        f"{unreadable} calibration images of {entry} cannot be read; its levels are calibrated on the other {images}",
        "Replace or remove the damaged files.",
    )


@row("quantization.skipped", "quantization", "warning", "quantization", "A level could not be made.")
def _skipped(file: str, level: str, reason: str) -> Words:
    return Words(
        f"the level {level} ({file}) was skipped: {reason}",
        "Mend the reason, or take the level out of `quantize: levels`.",
    )


@row("quantization.constant_class", "quantization", "warning", "quantization", "A score column never changes.")
def _constant_class(file: str, output: str, columns: list[int]) -> Words:
    return Words(
        f"{file}: {len(columns)} score columns of its output {output} have one value on every candidate of every image "
        f"({some([str(column) for column in columns], 6)}, counted from the first after the box): they say nothing",
        "Look whether the export rounds this column away, or writes a constant there; calibrate again, or export with "
        "the scores as an output of their own.",
    )


@row("quantization.silent_class", "quantization", "warning", "quantization", "The scores of a class never leave 0.")
def _silent_class(file: str, output: str, classes: list[str]) -> Words:
    return Words(
        f"{file}: the scores of {some(classes, 6)} in its output {output} are 0 on all candidates of the first images, "
        "and none of their objects (in brackets) is found",
        "Look whether the export rounds these columns away; calibrate on images with these classes, or export with the "
        "scores as an output of their own.",
    )


@row("quantization.half_codes", "quantization", "warning", "input", "Pixels land between two codes of the input.")
def _half_codes(
    file: str, share: float, mean: list[float], better: list[float], scale: float, zero_point: int, line: str
) -> Words:
    return Words(
        f"{file}: {share:.0%} of the pixel values land halfway between two codes of its input (scale {scale:.6g}, zero "
        f"point {zero_point}) with the mean {yaml_flow(mean)}, so how a device rounds decides what it sees; with the "
        f"mean {yaml_flow(better)} each has a code of its own",
        f"Write in its entry of audit.yaml, and feed the device alike: {line}",
    )


@row("quantization.ties", "quantization", "warning", "quantization", "A metric hangs on the order of equal scores.")
def _ties(cell: str, metric: str, value: float, low: float, high: float, orders: int, cells: int) -> Words:
    more = "" if cells == 1 else f"; so it is in {cells} cells"
    return Words(
        f"{cell}: many of its scores are equal, and {metric} {value:.4f} hangs on which of them comes first: {orders} "
        f"other orders give {low:.4f} to {high:.4f}{more}",
        "Read smaller differences of this file as noise (its intervals hold this), and compare with other tools only "
        "within it; scores of finer steps, such as an output kept in float, end it.",
    )


@row("quantization.ties_unknown", "quantization", "warning", "quantization", "The effect of equal scores is unknown.")
def _ties_unknown(cell: str, reason: str) -> Words:
    return Words(
        f"{cell}: what other orders of equal scores would give is not known, since two evaluators disagree: {reason}",
        "Report this as a fault of the auditor, with the audit; the value itself is pycocotools'.",
    )


@row("quantization.never_positive", "quantization", "error", "quantization", "An output can never be positive.")
def _never_positive(file: str, output: str, high: float, scale: float, zero_point: int) -> Words:
    return Words(
        f"{file}: its output {output} can never be positive (largest code is {high:.4g}, scale {scale:.4g}, zero point "
        f"{zero_point})",
        "Calibrate again on images that the model detects something on; the range of this output was never seen.",
    )


@row("quantization.one_scale", "quantization", "error", "quantization", "One scale serves boxes and scores.")
def _one_scale(file: str, output: str, scale: float, box_high: float, zero: float, distinct: int, remedy: str) -> Words:
    return Words(
        f"{file}: one scale of {scale:.4g} serves boxes (up to {box_high:.4g}) and scores (0 to 1) in the output "
        f"{output}: {zero:.3%} of the scores round to 0, and {distinct} different "
        f"score{'s' if distinct != 1 else ''} can be told apart",
        remedy,
    )


@row("quantization.saturates", "quantization", "warning", "quantization", "An output cannot say more than so much.")
def _saturates(file: str, output: str, high: float) -> Words:
    return Words(
        f"{file}: its output {output} saturates at {high:.3f}, so no score can be higher",
        "Calibrate on images with confident detections.",
    )


@row(
    "quantization.input_codes", "quantization", "warning", "quantization", "An input holds other values than it is fed."
)
def _input_codes(
    file: str,
    low: float,
    high: float,
    fed_low: float,
    fed_high: float,
    codes_used: int,
    clipped: float,
    inherited: bool = False,
) -> Words:
    inherits = (
        "It is fed what its family is, and was calibrated on other preprocessing: calibrate with this `input:`, or "
    )
    return Words(
        f"{file}: its input holds {low:.4g} to {high:.4g}, but is fed {fed_low:.4g} to {fed_high:.4g}: {codes_used} of "
        f"its 256 codes are used, and {clipped:.1%} of the values are clipped",
        inherits + "write in its own entry the `input: {mean, std}` that it was calibrated with."
        if inherited
        else "It was calibrated on other preprocessing than it is fed: calibrate with this `input:`, or write the "
        "`input: {mean, std}` that it was calibrated with.",
    )


@row("quantization.loss", "quantization", "warning", "quantization", "A level loses against its family's reference.")
def _loss(
    file: str,
    level: str,
    delegate: str,
    metric: str,
    lost: float,
    interval: Interval,
    noise: bool,
    right_here: int | None,
    right_there: int | None,
    p: float | None,
) -> Words:
    mcnemar = ""
    if p is not None:
        mcnemar = (
            f"; {right_there} images are right in float32 only and {right_here} in this level only (McNemar's exact p "
            "= "
            f"{p:.3g})"
        )
    shown = paired(interval, also=", which may be noise" if noise else "")
    return Words(
        f"{file} ({level}, {delegate}) loses {lost:.3f} {metric} against its family's reference on clean images{shown}"
        f"{mcnemar}",
        "Take a level of the trade-off that loses less, train with quantization in the loop, or calibrate on images "
        "like "
        "those of the deployment.",
    )


@row("quantization.conversion", "quantization", "info", "quantization", "What the conversion from the parent cost.")
def _conversion(file: str, delegate: str, metric: str, change: float, interval: Interval, lost: bool) -> Words:
    compare = (
        "Compare the outputs of the parent and the converted file op by op: an op was converted to another one, or the "
        "parent runs in training mode."
    )
    return Words(
        f"{file} ({delegate}): the conversion from the parent to float32 changes {metric} by {change:+.3f}"
        f"{paired(interval)}; what lower levels lose beyond that, quantization costs",
        compare if lost else "Nothing: the float32 file is what was trained.",
    )


@row("quantization.layers", "quantization", "info", "quantization", "Where the error of a level arises.")
def _layers(file: str, images: int, worst: list[str]) -> Words:
    return Words(
        f"{file}: the lowest signal-to-quantization-noise ratios against the float model, on {images} images: "
        f"{'; '.join(worst)}",
        f"Keep these ops in float, or train with quantization in the loop; `diagnosis.layers` of {file} in result.json "
        "has the worst ten.",
    )


@row("quantization.saturating", "quantization", "warning", "quantization", "Activations outside of their range.")
def _saturating(file: str, tensors: int, worst: list[str]) -> Words:
    return Words(
        f"{file}: activations lie outside of their calibrated range in {tensors} tensors, worst: {'; '.join(worst)} of "
        "the values",
        "Calibrate on more images, and on images like those that are evaluated; where they are alike already, the "
        "quantizer's moving average cuts the ends off: take a wider range, or int16x8.",
    )
