"""What is said of the op where a delegate or a level departs."""

from __future__ import annotations

from auditor.judge.catalogue.row import row
from auditor.judge.told import Words

__all__: list[str] = []


def _departs(
    file: str,
    delegate: str,
    against: str,
    images: int,
    compared: int,
    ops: int,
    limit: float,
    beyond: bool,
    number: int | None,
    op: str | None,
    tensor: str | None,
    ratio: float | None,
    cosine: float | None,
    largest: float | None,
    nan: int,
    reason: str | None,
) -> Words:
    where = f"{file} ({delegate}) beside {against}"
    if op is None:
        return Words(
            f"{where}: at which op it departs is not known: {reason}",
            "Give the model that it was made of, with the names of its tensors, as the family's first level.",
        )
    measures = f"{_shown(ratio, '.1f')} dB, cosine {_shown(cosine, '.4f')}, largest difference {_shown(largest, '.4g')}"
    broken = f", {nan} values that are no number" if nan else ""
    which = "the first op that departs" if beyond else "no op departs by itself; the farthest is"
    is_ = " is" if beyond else ""
    return Words(
        f"{where}: {which}{is_} number {number} of {ops}, {op} {tensor} ({measures}{broken}; limit {limit:g} dB; "
        f"{compared} outputs of ops compared on {images} images)",
        "Keep this op, or what leads to it, in float or away from the delegate, or convert it otherwise; its share of "
        "the time is not known, since the runtime gives no profile of its ops.",
    )


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


row("delegate.departs", "delegate_parity", "info", "delegates", "The op at which a delegate departs.")(_departs)
row("quantization.departs", "quantization", "info", "quantization", "The op at which a level departs.")(_departs)
