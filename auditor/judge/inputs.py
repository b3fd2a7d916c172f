"""Whether each model is fed and read as it was trained, from the cells of changed inputs."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from auditor.values import CLEAN, WORTH, AuditResult, CellResult, Finding, MetricValue

__all__ = ["check_input_contract"]

_MISCALIBRATED = 0.05
"""An expected calibration error from which scores should not be read as probabilities."""
_ENOUGH_FOR_ECE = 200
_BROKEN = 0.02
"""A model that reaches less than this is not fed as it was trained, whatever else was tried."""
_WRONG = 0.5
"""A declared contract that reaches less than this share of another is wrong, not just second best."""
_RANGES = {((0.0,), (1.0,)): "0..255", ((0.0,), (255.0,)): "0..1", ((127.5,), (127.5,)): "-1..1"}

_YOLO = ("yolox", "yolov5", "yolov8", "end2end")

Compared = Sequence[tuple[CellResult, MetricValue]]


def check_input_contract(result: AuditResult) -> Iterator[Finding]:
    """Say for each model whether another input contract, or another reading of its predictions, is better than chance
    explains, and which line of YAML declares it."""
    models = {model["name"]: model for model in result.models}
    compared: dict[str, list[tuple[CellResult, MetricValue]]] = {}
    for cell in result.cells:
        value = cell.difference("declared")
        if cell.cell.input != "declared" and cell.status == "ok" and value is not None:
            compared.setdefault(cell.cell.file, []).append((cell, value))
    misread = {
        file
        for file, cells in compared.items()
        if _best([item for item in cells if item[0].details.get("kind") != "input"])
    }
    yield from _overconfident(result, compared, {models[file]["model"] for file in misread if file in models})
    for file, cells in compared.items():
        if file not in models:
            continue
        fed = [(cell, value) for cell, value in cells if cell.details.get("kind") == "input"]
        read = [(cell, value) for cell, value in cells if cell.details.get("kind") != "input"]
        better, other = _best(fed), _best(read)
        if better is not None and other is not None:  # what explains more; the rest is judged when that is mended
            better, other = (better, None) if (better[1].value or 0.0) >= (other[1].value or 0.0) else (None, other)
        if better is not None:
            yield _finding(
                models[file], better, check="input_contract", what=f"{file} is fed {_described(models[file]['input'])}"
            )
        else:
            unusual = list(_unusual(models[file], fed))
            yield from unusual
            if fed and other is None and not unusual:
                yield _sound(models[file], fed)
        if other is not None:
            labels = other[0].details.get("kind") == "labels"
            what = f"{file} is read with {'its declared labels' if labels else 'its declared boxes'}"
            yield _finding(models[file], other, check="labels" if labels else "input_contract", what=what)


def _overconfident(result: AuditResult, compared: Mapping[str, Compared], misread: Container[str]) -> Iterator[Finding]:
    """Classifiers whose confidence is far from their accuracy, which top1 does not show; the first of each family, and
    none that is read wrongly."""
    told: set[str] = set()
    for cell in result.cells:
        error = cell.metrics.get("ECE")
        declared = cell.cell.scenario == CLEAN and cell.cell.input == "declared"
        if (
            not declared
            or error is None
            or error.value is None
            or error.value < _MISCALIBRATED
            or cell.images < _ENOUGH_FOR_ECE
        ):
            continue
        if cell.cell.model in told or cell.cell.model in misread:
            continue
        told.add(cell.cell.model)
        others = [
            (other, found.value)
            for cells in compared.values()
            for other, _ in cells
            if other.cell.model == cell.cell.model
            and other.details.get("kind") == "input"
            and (found := other.metrics.get("ECE")) is not None
            and found.value is not None
        ]
        remedy = "Scale the logits by a temperature that is fitted on held-out images (Guo et al. 2017), or do not read its scores as probabilities."
        if others:
            best, reached = min(others, key=lambda item: item[1])
            if reached < error.value:
                remedy = f"First check the input: fed {_changed(best)} its ECE is {reached:.3f} on {best.images} images ({best.details['yaml']}). {remedy}"
        yield Finding(
            check="input_contract",
            level="warning",
            message=f"{cell.cell.file} ({cell.cell.quantization}, {cell.cell.delegate}): its confidence is not its "
            f"accuracy: top1 is {cell.value or 0.0:.3f} on {cell.images} images, but the expected calibration "
            f"error {error.value:.3f}",
            remedy=remedy,
            cell={"model": cell.cell.model, "file": cell.cell.file, "quantization": cell.cell.quantization},
            observed=error.value,
            limit=_MISCALIBRATED,
        )


def _best(cells: Compared) -> tuple[CellResult, MetricValue] | None:
    """Of those whose gain is worth having and is not chance the one of fewest changes, unless another is worth more."""
    sure = [
        (cell, value)
        for cell, value in cells
        if value.interval is not None and value.interval[0] > 0 and (value.value or 0.0) >= WORTH
    ]
    most = max((value.value or 0.0 for _, value in sure), default=0.0)
    near = [(cell, value) for cell, value in sure if (value.value or 0.0) > most - WORTH]
    return min(
        near,
        key=lambda item: (len(str(item[0].details.get("factor")).split(" and ")), -(item[1].value or 0.0)),
        default=None,
    )


def _unusual(model: Mapping[str, Any], fed: Compared) -> Iterator[Finding]:
    """A YOLO head is trained on letterboxed images: another `resize` that these images neither confirm nor refute."""
    source = str(model["sources"].get("input.resize", ""))
    if model["decoder"]["name"] not in _YOLO or not source.startswith("audit.yaml (instead of letterbox"):
        return
    letterboxed = [
        (cell, value)
        for cell, value in fed
        if cell.cell.input.startswith("resize=letterbox") and "and" not in cell.details["factor"]
    ]
    for cell, value in sorted(
        letterboxed, key=lambda item: len(item[0].cell.input)
    ):  # the shortest keeps the declared anchor
        low, high = value.interval or (0.0, 0.0)
        if high >= WORTH:
            yield Finding(
                check="input_contract",
                level="warning",
                message=(
                    f"{model['name']} is fed {_described(model['input'])}, but models with a "
                    f"{model['decoder']['name']} head are trained on letterboxed images; "
                    f"{cell.images} images do not tell them apart ({cell.cell.input}: {value.value or 0.0:+.3f}, "
                    f"{low:+.3f} to {high:+.3f} at 95 %)"
                ),
                remedy=f"Unless the training code stretches, write in its entry of audit.yaml: {cell.details['yaml']}",
                cell={"model": model["model"], "file": model["name"], "input": cell.cell.input},
                observed=value.value,
            )
            return


def _finding(model: Mapping[str, Any], better: tuple[CellResult, MetricValue], *, check: str, what: str) -> Finding:
    cell, value = better
    reached, gain = cell.value or 0.0, value.value or 0.0
    low, high = value.interval or (0.0, 0.0)
    metric = cell.primary.name if cell.primary is not None else "AP"
    return Finding(
        check=check,
        level="error" if reached - gain < _WRONG * reached else "warning",
        message=(
            f"{what} and reaches {metric} {reached - gain:.3f} on {cell.images} clean images; with {_changed(cell)} "
            f"it reaches {reached:.3f} "
            f"(+{gain:.3f}; {low:+.3f} to {high:+.3f} at 95 % over all {cell.details.get('compared', 1)} comparisons)"
        ),
        remedy=f"Write in its entry of audit.yaml: {cell.details['yaml']}",
        cell={"model": model["model"], "file": model["name"], "input": cell.cell.input},
        observed=gain,
        limit=WORTH,
    )


def _sound(model: Mapping[str, Any], fed: Compared) -> Finding:
    known = [(cell, value) for cell, value in fed if value.value is not None]
    cell, value = max(known, key=lambda item: item[1].value or 0.0, default=fed[0])
    gain, reached = value.value or 0.0, cell.value or 0.0
    metric = cell.primary.name if cell.primary is not None else "AP"
    remedy = "Nothing: it is fed as it was trained, as far as these images tell."
    if gain >= WORTH:
        remedy = f"{cell.images} images do not decide whether {cell.cell.input} is better: judge on more."
    elif reached < _BROKEN:
        remedy = "None of these inputs makes it work: check `decoder:` and `labels:`, and the file itself."
    interval = (
        ""
        if value.interval is None
        else f", {value.interval[0]:+.3f} to {value.interval[1]:+.3f} at 95 % over all comparisons"
    )
    return Finding(
        check="input_contract",
        level="info",
        message=(
            f"{model['name']}: no other input contract of {len(fed)} is better: declared {_described(model['input'])} "
            f"reaches {metric} {reached - gain:.3f} "
            f"on {cell.images} clean images, the next best ({cell.cell.input}) {reached:.3f} ({gain:+.3f}{interval})"
        ),
        remedy=remedy,
        cell={"model": model["model"], "file": model["name"]},
        observed=gain,
        limit=WORTH,
    )


def _changed(cell: CellResult) -> str:
    """A changed input in words."""
    contract = cell.details.get("contract")
    return f"{_described(contract)} ({cell.cell.input})" if contract else cell.cell.input


def _described(contract: Mapping[str, Any]) -> str:
    """What a model is fed, in a few words: colour, range and resize."""
    mean, std = tuple(contract["mean"]), tuple(contract["std"])
    rounded = (tuple(round(value, 2) for value in mean), tuple(round(value, 2) for value in std))
    values = _RANGES.get(rounded, f"(pixel - {_numbers(mean)}) / {_numbers(std)}")
    place = contract["resize"] + (
        f" {contract['anchor'].replace('_', ' ')}" if contract["resize"] == "letterbox" else ""
    )
    return f"{contract['color'].upper()} {values}, {place}"


def _numbers(values: Sequence[float]) -> str:
    return "/".join(f"{value:.4g}" for value in values)
