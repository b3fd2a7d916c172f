"""What `auditor init` tries: short audits in a folder that is gone afterwards."""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auditor.config import load_audit
from auditor.datasets.dataset import Dataset
from auditor.resolve.image_sets import load_datasets
from auditor.run import Progress, run_audit
from auditor.values import AuditResult

__all__ = ["IMAGES", "TimedProgress", "load_whole", "try_audit"]

IMAGES = 20
"""Of the data set, to measure what is written into the first audit."""


class TimedProgress:
    """Tells another progress, and keeps how long each stage took."""

    def __init__(self, inner: Progress, *, later: float = 0.0) -> None:
        """`later` are the seconds of what is still to come after what it is told."""
        self._inner, self._more = inner, later
        self._name, self._start = "", time.monotonic()
        self.seconds: dict[str, float] = defaultdict(float)

    def stage(self, name: str, *, of: int = 0, what: str = "", seconds: float = 0.0, later: float = 0.0) -> None:
        self.close()
        self._name = name
        self._inner.stage(name, of=of, what=what, seconds=seconds, later=later + self._more)

    def done(self, pieces: int = 1) -> None:
        self._inner.done(pieces)

    def say(self, text: str) -> None:
        self._inner.say(text)

    def close(self) -> None:
        """The stage under way ends."""
        self.seconds[self._name] += time.monotonic() - self._start
        self._start = time.monotonic()


def try_audit(
    dataset: Mapping[str, Any], entry: Mapping[str, Any], *, progress: Progress, kept: Path | None = None, **rest: Any
) -> AuditResult:
    """Audit one model on a few images; `rest` are other keys of the document. All paths are absolute. What is made and
    measured stays in the folder `kept`, where there is one, for the next trial there.

    Raises:
        InputError: with every problem of what was put together.
    """
    with tempfile.TemporaryDirectory() as folder:
        document = {
            "name": "init",
            "dataset": {**dataset, "limit": IMAGES},
            "models": [dict(entry)],
            "scenarios": [],
            "measure": {"threads": []},
            **rest,
        }
        audit = Path(folder) / "audit.yaml"
        audit.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
        return run_audit(audit, output=kept or Path(folder) / "out", progress=progress)


def load_whole(dataset: Mapping[str, Any], *, limit: int | None = None) -> Dataset | None:
    """The data set, or its first images by id; None where it cannot be loaded."""
    with tempfile.TemporaryDirectory() as folder:
        keys = {**dataset, **({"limit": limit} if limit is not None else {})}
        document = {"name": "init", "dataset": keys, "models": [{"name": "m", "path": "m.tflite"}]}
        audit = Path(folder) / "audit.yaml"
        audit.write_text(json.dumps(document), encoding="utf-8")
        return load_datasets(load_audit(audit), []).get("default")
