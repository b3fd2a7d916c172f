"""Pack everything that another device needs into one zipapp, or several."""

from __future__ import annotations

import hashlib
import importlib.resources
import io
import json
import math
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.bundle.format import Item, fingerprint, items, packed
from auditor.corruptions.corrupt import corrupt, draw_of
from auditor.datasets.image_files import read_record
from auditor.encoding import encode
from auditor.errors import DataError, InputError, ScenarioError
from auditor.plan import Plan
from auditor.runtimes.anatomy.runtime import facts_of, runtime_of
from auditor.store import save_bytes
from auditor.values import CLEAN, ModelSpec

__all__ = ["write_parts"]

_SAMPLED = 4
_MOST_PARTS = 200
_CARRIED = {
    "__main__.py": ("auditor.bundle", "runner.py"),
    "latency.py": ("auditor.measure", "latency.py"),
}
"""The files of ours that run on the device."""


def write_parts(plan: Plan, bundle: Path, *, limit_mb: float, say: Callable[[str], None]) -> list[Path]:
    """Write one bundle, or several where it would be larger than `limit_mb` megabytes; return their paths.

    Raises:
        InputError: there is nothing that another device's interpreter could run.
    """
    specs = packed(plan)
    if not specs:
        raise InputError(
            f"{bundle}: none of the audit's models is a .tflite file, or has a level that is; there is nothing to send"
        )
    keeping = [spec.name for spec in specs if spec.keeps_state]
    if keeping:
        raise InputError(
            f"{bundle}: {', '.join(keeping)} keeps its state from image to image (`state: keep`), which a "
            "bundle's runner does not; leave `state` out, or audit it on the device"
        )
    tiled = [spec.name for spec in specs if spec.input.tiles is not None]
    if tiled:
        raise InputError(
            f"{bundle}: {', '.join(tiled)} is fed in tiles (`input.tiles`), which a bundle's runner does not; leave "
            "`tiles` out, or audit it on the device"
        )
    every = max(len(dataset.images) for dataset in plan.datasets.values())
    models_mb = sum(spec.size_bytes for spec in specs) / 1e6
    inputs_mb = _estimate(plan, specs)
    parts = min(every, _MOST_PARTS, max(1, math.ceil(inputs_mb / max(limit_mb - models_mb, 0.1 * limit_mb))))
    each = f"{models_mb + inputs_mb / parts:.1f} MB"
    split = f", in {parts} parts of about {each} that each carry the models" if parts > 1 else ""
    say(f"about {models_mb + inputs_mb:.1f} MB of models and inputs{split}")
    written = []
    for part in range(parts):
        path = bundle if parts == 1 else bundle.with_name(f"{bundle.stem}-{part + 1}{bundle.suffix}")
        save_bytes(path, _Part(plan, tuple(specs), part, parts).content())
        written.append(path)
    return written


def _tensor(plan: Plan, spec: ModelSpec, item: Item, image: NDArray[np.uint8]) -> NDArray[Any]:
    scenario = next((found for found in plan.subjects.scenarios if found.key == item.scenario), None)
    draw = draw_of(item.record, item.scenario, seed=plan.subjects.seed)
    seen = image if scenario is None else corrupt(image, scenario, severity=item.severity, seed=draw)
    return encode(seen, spec.input)[0]


def _estimate(plan: Plan, specs: Sequence[ModelSpec]) -> float:
    """Megabytes of all inputs, as large as a few of them are when compressed."""
    total = 0.0
    each = 1 + len(plan.subjects.scenarios) * len(plan.subjects.severities)
    for spec in {(spec.dataset, spec.input): spec for spec in specs}.values():
        images = plan.datasets[spec.dataset].images
        sizes = []
        for record in images[:_SAMPLED]:
            buffer = io.BytesIO()
            try:
                np.savez_compressed(buffer, _tensor(plan, spec, Item(record, CLEAN, 0), read_record(record)))
            except DataError:
                continue
            sizes.append(buffer.tell())
        total += float(np.mean(sizes or [0])) * len(images) * each / 1e6
    return total


@dataclass(frozen=True)
class _Part:
    """One of the bundles that hold the inputs."""

    plan: Plan
    specs: tuple[ModelSpec, ...]
    part: int
    parts: int

    def content(self) -> bytes:
        buffer = io.BytesIO()
        buffer.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, (package, file) in _CARRIED.items():
                archive.writestr(name, importlib.resources.files(package).joinpath(file).read_bytes())
            for spec in {spec.sha256: spec for spec in self.specs}.values():
                archive.write(spec.path, f"models/{spec.sha256}.tflite")
            kept: set[str] = set()
            document = {
                "fingerprint": fingerprint(self.plan, self.specs),
                "part": self.part,
                "parts": self.parts,
                "models": [self._model(archive, spec, kept) for spec in self.specs],
                "delegates": [on.name for on in self.plan.subjects.asked_delegates if on.travels],
            }
            archive.writestr("plan.json", json.dumps(document))
        return buffer.getvalue()

    def _model(self, archive: zipfile.ZipFile, spec: ModelSpec, kept: set[str]) -> dict[str, Any]:
        """Put a model's inputs into the archive, each once; return what the runner needs to know of the model. An input
        that cannot be made is missing there as it is here, and counted when it is judged."""
        numbered = []
        last: tuple[int, NDArray[np.uint8]] | None = None
        for number, item in enumerate(items(self.plan, spec, self.part, self.parts)):
            try:
                if last is None or last[0] != item.record.id:
                    last = (item.record.id, read_record(item.record))
                tensor = _tensor(self.plan, spec, item, last[1])
            except (DataError, ScenarioError):
                continue
            content = io.BytesIO()
            np.save(content, tensor)
            name = hashlib.sha256(content.getvalue()).hexdigest()[:32]
            if name not in kept:
                kept.add(name)
                archive.writestr(f"inputs/{name}.npy", content.getvalue())
            numbered.append({"number": number, "input": name})
        facts, resize = facts_of(Path(spec.path)), runtime_of(Path(spec.path)).input_shape
        shape = (resize(facts, spec.input) if resize is not None else None) or facts.inputs[0].shape
        return {
            "name": spec.name,
            "sha256": spec.sha256,
            "shape": list(shape),
            "state": list(facts.state),
            "items": numbered,
        }
