"""Where a result comes from: versions, hashes, seeds, the machine and the state of the source tree."""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import json
import os
import platform
import stat
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auditor.values import Machine, Provenance, SourceTree

__all__ = [
    "PIXEL_PACKAGES",
    "SAME_PACKAGES",
    "auditor_version",
    "clashing_wheels",
    "content_hash",
    "describe",
    "digest",
    "image_seed",
    "processor",
    "same_versions",
    "sha256_of",
    "versions_of",
]

PIXEL_PACKAGES = ("numpy", "opencv-python-headless", "albumentations", "albucore", "ai-edge-litert")
"""The packages whose version could change a pixel or a score: they enter every resume key."""

SAME_PACKAGES = ("tflite-auditor", *PIXEL_PACKAGES, "pycocotools", "hotcoco")
"""The packages that must be the same wherever an audit is measured and evaluated."""

_OTHER_PACKAGES = ("pycocotools", "pyarrow", "pydantic", "vl-convert-python")
_EXTRA_PACKAGES = ("litert-quantizer", "tensorflow", "keras")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(path: Path) -> str | None:
    """The SHA-256 of a file's content; None where it cannot be read, which is told when it is."""
    try:
        return sha256_of(path)
    except (OSError, ValueError):
        return None


def digest(*parts: Any) -> str:
    """Return a SHA-256 over JSON-able parts; the same parts give the same digest in every process.

    >>> digest("a", 1) == digest("a", 1) != digest("a", 2)
    True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def image_seed(seed: int, scenario: str, content: str | None) -> int:
    """The seed of one image's corruption: 63 bits of hash(audit seed, pack/scenario, SHA-256 of the image).

    Model, quantization, delegate, worker, order, the image's id and severity stay out of it, so every model sees the
    same pixels, in whatever format the data set is.
    """
    return int(digest(seed, scenario, content)[:16], 16) >> 1


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each package; `absent` where it is not installed."""
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "absent"
    return versions


def same_versions() -> dict[str, str]:
    """The versions that must be the same wherever an audit is measured and evaluated."""
    return versions_of(SAME_PACKAGES)


def auditor_version() -> str:
    """Return the installed version of this package."""
    return versions_of(["tflite-auditor"])["tflite-auditor"]


def describe(
    *, command: str, seed: int, started: datetime, seconds: Mapping[str, float], jobs: int, audit: Path
) -> Provenance:
    """Describe this run: when, by which command, with which versions, on which machine, from which document."""
    extras = {name: version for name, version in versions_of(_EXTRA_PACKAGES).items() if version != "absent"}
    return Provenance(
        auditor=auditor_version(),
        command=command,
        seed=seed,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        python=platform.python_version(),
        versions={**versions_of((*PIXEL_PACKAGES, *_OTHER_PACKAGES)), **extras},
        machine=Machine(
            system=f"{platform.system()} {platform.release()}",
            architecture=platform.machine(),
            processor=processor(),
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        ),
        source=_source_tree(),
        seconds=dict(seconds),
        jobs=jobs,
        audit_sha256=sha256_of(audit),
    )


_ONE_FOLDER = {
    "cv2": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "albumentations": ("albumentations", "albumentationsx"),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "tf-nightly", "tf-nightly-cpu"),
    "ai_edge_litert": ("ai-edge-litert", "ai-edge-litert-nightly"),
}
"""Wheels that are installed into one folder, the one that the auditor uses first."""


def clashing_wheels() -> list[str]:
    """Say which installed wheels were written over each other, which breaks either at random, and how to mend it."""
    told = []
    for folder, wheels in _ONE_FOLDER.items():
        installed = [name for name, version in versions_of(wheels).items() if version != "absent"]
        if len(installed) > 1:
            told.append(
                f"{' and '.join(installed)} are installed into one `{folder}` folder; either may break. "
                f"Run: pip uninstall -y {' '.join(installed)} && pip install {wheels[0]}"
            )
    return told


def processor() -> str:
    """What the processor of this machine is called."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor() or "unknown",
    )


def _source_tree() -> SourceTree | None:
    """The commit and whether the tree is dirty, when the package runs from a git checkout; else None."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        commit, status = (
            subprocess.run(
                ["git", "-C", str(root), *command], capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError) as error:
        return SourceTree(reason=f"git did not answer ({type(error).__name__})")
    return SourceTree(commit, dirty=bool(status))
