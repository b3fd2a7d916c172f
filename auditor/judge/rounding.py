"""What rounding decides in integer models: pixels that land between two codes, scores that are equal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from auditor.judge.told import Told
from auditor.values import AuditResult, InputCodes, InputContract, Json, ModelRecord, Patch, Place

__all__ = ["equal_scores", "half_codes"]

_TIES = 0.002
"""Two values of one cell further apart than this are told."""
_HALF = 0.01
"""A pixel is on a half code where it is nearer than this, in codes."""
_SHARE = 0.1
_LOWEST = {"int8": -128, "uint8": 0}


def half_codes(model: ModelRecord, facts: InputCodes, where: Place) -> Iterator[Told]:
    """Say where the contract puts the 256 pixel values between two codes of the input, so that how a device rounds
    decides, and the contract that is half a code beside it."""
    contract = model.input
    share = _on_half(contract, facts, contract.mean)
    if share <= _SHARE:
        return
    shift = 0.5 * facts.scale
    means = [
        tuple(mean + sign * shift * std for mean, std in zip(contract.mean, contract.std, strict=True))
        for sign in (-1, 1)
    ]
    better = min(means, key=lambda mean: (_on_half(contract, facts, mean), _clipped(contract, facts, mean)))
    patch = Patch({"input": {**contract.settings, "mean": list(better)}}, model=model.name)
    yield Told(
        "quantization.half_codes",
        facts={
            "file": model.name,
            "share": share,
            "mean": list(contract.mean),
            "better": list(better),
            "scale": facts.scale,
            "zero_point": facts.zero_point,
            "line": str(patch),
        },
        cell=where,
        observed=share,
        limit=_SHARE,
        fix=patch,
    )


def _codes(contract: InputContract, facts: InputCodes, mean: Sequence[float]) -> list[float]:
    """The code of each pixel value in each channel, before it is rounded."""
    channels = list(zip(mean, contract.std, strict=True))
    return [(pixel - mean) / std / facts.scale + facts.zero_point for mean, std in channels for pixel in range(256)]


def _on_half(contract: InputContract, facts: InputCodes, mean: Sequence[float]) -> float:
    codes = _codes(contract, facts, mean)
    return sum(abs(code - math.floor(code) - 0.5) < _HALF for code in codes) / len(codes)


def _clipped(contract: InputContract, facts: InputCodes, mean: Sequence[float]) -> int:
    low = _LOWEST[facts.dtype]
    return sum(not low <= round(code) <= low + 255 for code in _codes(contract, facts, mean))


def equal_scores(result: AuditResult, model: ModelRecord, where: Place) -> Iterator[Told]:
    """Say where the metric hangs on the order of equal scores, which nothing but a convention decides."""
    tied = [(cell, cell.ties) for cell in result.cells if cell.file == model.name and cell.ties is not None]
    wide = [(cell, ties) for cell, ties in tied if ties.spread > _TIES]
    if wide:
        cell, ties = max(wide, key=lambda item: item[1].spread)
        facts: dict[str, Json] = {
            "cell": str(cell.key),
            "metric": cell.judged_by,
            "value": cell.value or 0.0,
            "low": ties.low,
            "high": ties.high,
            "orders": ties.orders,
            "cells": len(wide),
        }
        yield Told("quantization.ties", facts, where, observed=ties.spread, limit=_TIES)
    for cell, ties in tied:
        if ties.reason is not None:
            yield Told("quantization.ties_unknown", {"cell": str(cell.key), "reason": ties.reason}, where)
            return
