"""Fixtures: a small data set of rendered scenes with the demo's detector, and the real models where they are."""

from __future__ import annotations

import importlib.resources
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from browsing import FLAGS

from auditor.boxes import to_xywh
from auditor.demo.scenes import CLASSES, render_scene

DEMO_MODEL = Path(str(importlib.resources.files("auditor.demo"))) / "models" / "detector_float32.tflite"

AUDIT = """\
name: small
seed: 3
dataset: {format: coco, images: images, annotations: instances.json}
models:
  - {name: detector, path: detector.tflite, labels: labels.txt}
scenarios: [lighting/low_light, noise/gaussian]
severities: [1, 5]
checks: {input_contract: false}
measure: {threads: []}
gates:
  - {metric: AP, scenario: clean, min: 0.4}
"""


def write_scenes(folder: Path, count: int, *, repeat: int = 1) -> None:
    """Write `count` rendered scenes as COCO, `repeat` times over under other ids."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for index in range(count * repeat):
        image, truth = render_scene(5000 + index % count)
        name = f"{index % count:03d}.png"
        cv2.imwrite(str(folder / "images" / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        images.append({"id": index + 1, "file_name": name, "width": image.shape[1], "height": image.shape[0]})
        for box, label in zip(to_xywh(truth.boxes), truth.labels, strict=True):
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": index + 1,
                    "category_id": int(label) + 7,
                    "bbox": box.tolist(),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": index + 7, "name": name} for index, name in enumerate(CLASSES)]
    (folder / "instances.json").write_text(
        json.dumps({"images": images[::-1], "annotations": annotations, "categories": categories})
    )


RUNS_AUDITS = {"project", "finished", "ladder", "sources", "library", "place"}
"""Fixtures whose tests run whole audits."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark as slow whatever runs an audit, and leave what is long to those who ask for it."""
    asked = bool(os.environ.get("AUDITOR_LONG")) or "long" in config.option.markexpr
    for item in items:
        if item.get_closest_marker("long") and not asked:
            item.add_marker(pytest.mark.skip(reason="takes minutes; set AUDITOR_LONG=1, or ask for it by -m long"))
        if RUNS_AUDITS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def write_project(folder: Path) -> Path:
    """Write ten scenes, the demo's detector and an `audit.yaml` of five cells."""
    write_scenes(folder, 10)
    shutil.copy(DEMO_MODEL, folder / "detector.tflite")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    (folder / "audit.yaml").write_text(AUDIT)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with all that an audit needs, which was not run yet."""
    return write_project(tmp_path)


@pytest.fixture(scope="session")
def _run_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from auditor.run import run_audit

    folder = write_project(tmp_path_factory.mktemp("finished"))
    run_audit(folder / "audit.yaml", output=folder / "out", executor="serial", command="auditor run audit.yaml")
    return folder


@pytest.fixture
def finished(_run_once: Path, tmp_path: Path) -> Path:
    """A copy of a project whose audit was run, once in a session, into `out`."""
    return Path(shutil.copytree(_run_once, tmp_path / "finished"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test's audits keep for others is not known to another's."""
    monkeypatch.setenv("AUDITOR_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real models and data, named by AUDITOR_REAL."""
    folder = os.environ.get("AUDITOR_REAL")
    if not folder:
        pytest.skip("AUDITOR_REAL does not name a folder with models/ and data/")
    path = Path(folder).absolute()
    if not (path / "models").is_dir() or not (path / "data").is_dir():
        pytest.skip(f"AUDITOR_REAL is {path}, which has no models/ and data/")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium that runs."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium, or set CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a result of 500 cells with its gallery."""
    from made_pages import rendered, wide_gallery, wide_result

    result = wide_result()
    path = tmp_path_factory.mktemp("wide") / "report.html"
    path.write_text(rendered(result, wide_gallery(result)))
    return path
