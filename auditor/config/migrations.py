"""Older documents of `result.json`, each turned into the next version's."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from auditor.delegate import BUILT_IN, TENSORFLOW
from auditor.values.levels import FLOAT_HEAD, FLOAT_MORE

__all__ = ["MIGRATIONS"]

_MADE = re.compile(r"made by the auditor with (\S+) ([^\s,]+)(?:, calibrated on (\d+) images)?")
_INSTEAD = re.compile(r"audit\.yaml \(instead of (.*), ([a-z.]+)\)")
_DATASET_PARTS = {
    "format",
    "task",
    "images",
    "boxes",
    "categories",
    "counts",
    "fingerprint",
    "facts",
    "instances",
    "duplicate_images",
    "duplicate_boxes",
    "boxes_outside",
}


def _to_2_0(old: Mapping[str, Any]) -> dict[str, Any]:
    """1.0 held sentences where 2.0 has types: origins of settings, made files, changed inputs."""
    models = [_model(model, old["models"]) for model in old["models"]]
    tasks = {model["name"]: model["task"] for model in models}
    primaries = {name: _PRIMARY_OF_1_0[task] for name, task in tasks.items()}
    contracts = {model["name"]: model["input"] for model in models}
    provenance = dict(old["provenance"])
    provenance["source"] = provenance.get("source") or None
    return {
        **old,
        "schema_version": "2.0",
        "provenance": provenance,
        "plan": _plan(old["plan"], {cell["delegate"] for cell in old["cells"]}),
        "models": models,
        "datasets": {name: _dataset(dataset) for name, dataset in old["datasets"].items()},
        "cells": [_cell(cell, primaries, contracts) for cell in old["cells"]],
        "summaries": [_summary(summary) for summary in old["summaries"]],
        "measurements": old["measurements"],
        "findings": [],
    }


_PRIMARY_OF_1_0 = {"detection": "AP", "classification": "top1"}
_JUDGING_OF_1_0 = {
    "detection": {"primary": "AP", "broken_below": 0.02, "things": "boxes"},
    "classification": {"primary": "top1", "calibration": "ECE", "things": "images"},
}
_MATCHED_IN_1_0 = {"parity": "parity_matched", "level_parity": "level_matched"}
_LETTERBOXED_IN_1_0 = ("yolox", "yolov5", "yolov8", "end2end")


def _plan(old: Mapping[str, Any], measured: Collection[str]) -> dict[str, Any]:
    kinds = {**{name: found.kind for name, found in BUILT_IN.items()}, TENSORFLOW.name: TENSORFLOW.kind}
    delegates = [*old["delegates"], *([TENSORFLOW.name] if TENSORFLOW.name in measured else [])]
    return {
        **old,
        "delegates": [{"name": name, "kind": kinds.get(name, "library")} for name in delegates],
        "scenarios": [_scenario(scenario) for scenario in old["scenarios"]],
        "calibration": old.get("calibration", {}),
        "checks": old.get("checks", {}),
    }


def _scenario(old: Mapping[str, Any]) -> dict[str, Any]:
    transforms = []
    for transform in old["transforms"]:
        ((name, arguments),) = transform.items()
        kind = "function" if name == "function" else "albumentations" if name[:1].isupper() else "builtin"
        target, given = (arguments, {}) if kind == "function" else (name, arguments)
        transforms.append({"kind": kind, "target": target, "arguments": given})
    return {**old, "transforms": transforms}


def _source(sentence: str) -> dict[str, Any]:
    instead = _INSTEAD.fullmatch(sentence)
    if instead:
        return {"origin": "audit.yaml", "instead_of": {"value": instead[1], "origin": instead[2]}}
    origin, _, note = sentence.partition(": ")
    if origin in ("audit.yaml", "metadata", "graph", "images", "default"):
        return {"origin": origin, "note": note}
    if _MADE.match(sentence):
        return {"origin": "made", "note": sentence}
    if sentence.startswith("audit.yaml ("):
        return {"origin": "audit.yaml", "note": sentence[len("audit.yaml (") : -1]}
    if sentence.startswith("the data set's"):
        return {"origin": "dataset", "note": "its classes, in their order"}
    return {"origin": "parent" if "not TFLite" in sentence else "default", "note": sentence}


def _model(old: Mapping[str, Any], models: list[dict[str, Any]]) -> dict[str, Any]:
    new = {key: value for key, value in old.items() if key not in ("decoder", "sources", "boxes_at_input")}
    decoder = dict(old["decoder"])
    made = _MADE.match(old["sources"].get("quantization", ""))
    parents = [other["name"] for other in models if old["name"].startswith(f"{other['name']}_")]
    roles = {FLOAT_HEAD: "remedy", FLOAT_MORE: "evidence"}
    new["output_dtypes"] = old.get("output_dtypes", [])
    new["class_aliases"] = old.get("class_aliases", [])
    decoder_name = decoder.pop("name")
    new["decoder"] = {"name": decoder_name, "options": decoder}
    new["sources"] = {key: _source(text) for key, text in old["sources"].items()}
    new["judging"] = _JUDGING_OF_1_0[old["task"]]
    new["letterboxed"] = decoder_name in _LETTERBOXED_IN_1_0
    new["diagnosis"] = dict(old.get("diagnosis") or {})
    new["boxes_at_input"] = old.get("boxes_at_input") or None
    new["compatibility"] = old.get("compatibility") or None
    if made:
        images = int(made[3]) if made[3] else None
        parent = max(parents, key=len, default=old["model"])
        new["made"] = {"tool": made[1], "version": made[2], "parent": parent, "images": images}
        new["role"] = roles.get(old["quantization"], "level")
    return new


def _dataset(old: Mapping[str, Any]) -> dict[str, Any]:
    new = {key: value for key, value in old.items() if key in _DATASET_PARTS}
    return {**new, "about": {key: value for key, value in old.items() if key not in _DATASET_PARTS}}


def _cell(
    old: Mapping[str, Any], primaries: Mapping[str, str], contracts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    new = {key: value for key, value in old.items() if key != "details"}
    details = dict(old.get("details") or {})
    new["metrics"] = _metrics(old["metrics"])
    new["judged_by"] = primaries.get(old["file"]) or next(iter(_PRIMARY_OF_1_0.values()))
    for name in ("parity", "level_parity"):
        if name in details:
            kept = ("against", "score", "corner_px", "image")
            matched = old["metrics"].get(_MATCHED_IN_1_0[name], {}).get("value")
            new[name] = {**{key: details[name].get(key) for key in kept}, "matched": matched}
    new["confused"] = details.get("confused", [])
    test = old["metrics"].get("McNemar_p")
    if test:
        here, there = (old["counts"][f"right_{where}_only"] for where in ("here", "in_float32"))
        new["level_test"] = {"right_here": here, "right_there": there, "p": test["value"]}
    if old["status"] != "ok":
        new["cause"] = _cause(old)
    if "kind" in details:
        contract = details.get("contract")
        new["compared"] = {
            "kind": details["kind"],
            "factors": str(details.get("factor")).split(" and "),
            "patch": {"keys": _keys(details, contract), "model": old["file"]},
            "comparisons": details.get("compared", 1),
            "contract": {**contracts[old["file"]], **contract} if contract else None,
        }
    return new


def _cause(old: Mapping[str, Any]) -> str:
    if old["status"] == "failed":
        return "measuring"
    return "delegate" if old["delegate"] in (old["error"] or "") else "level"


def _keys(details: Mapping[str, Any], contract: Mapping[str, Any] | None) -> dict[str, Any]:
    """The patch of a changed input; 1.0 kept its line of YAML alone."""
    if contract:
        keys = ("color", "mean", "std", "resize", "anchor", "rounding", "pad", "interpolation")
        stretched = contract["resize"] == "stretch"
        left_out = ("anchor", "rounding", "pad") if stretched else ()
        return {"input": {key: contract[key] for key in keys if key not in left_out}}
    key, _, value = str(details["yaml"]).partition(": ")
    return {key: value}


def _metrics(old: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"name": name, **metric} for name, metric in old.items()}


def _summary(old: Mapping[str, Any]) -> dict[str, Any]:
    clean = next(name for name in old["metrics"] if name.endswith("_clean"))
    return {**old, "metrics": _metrics(old["metrics"]), "judged_by": clean.removesuffix("_clean")}


def _to_2_1(old: Mapping[str, Any]) -> dict[str, Any]:
    """2.1 adds fields, which a result of 2.0 has at their defaults."""
    return {**old, "schema_version": "2.1"}


def _to_2_2(old: Mapping[str, Any]) -> dict[str, Any]:
    """2.2 adds fields, and the verdict `not judged`, which is recomputed."""
    return {**old, "schema_version": "2.2"}


def _to_2_3(old: Mapping[str, Any]) -> dict[str, Any]:
    """2.3 adds fields: what gates were decided by early."""
    return {**old, "schema_version": "2.3"}


def _to_2_4(old: Mapping[str, Any]) -> dict[str, Any]:
    """2.4 adds fields: operating points, and how the scores of cells lie beside them."""
    return {**old, "schema_version": "2.4"}


def _to_2_5(old: Mapping[str, Any]) -> dict[str, Any]:
    """2.5 adds fields: findings in groups, what became of checks, and what each threshold gives on clean images."""
    return {**old, "schema_version": "2.5"}


def _to_2_6(old: Mapping[str, Any]) -> dict[str, Any]:
    """2.6 adds fields: what each scenario's pixels hang on, its source and package, and breaking points."""
    return {**old, "schema_version": "2.6"}


MIGRATIONS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "1.0": _to_2_0,
    "2.0": _to_2_1,
    "2.1": _to_2_2,
    "2.2": _to_2_3,
    "2.3": _to_2_4,
    "2.4": _to_2_5,
    "2.5": _to_2_6,
}
"""From a schema version to the function that turns its document into the next version's."""
