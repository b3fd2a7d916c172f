"""The layers of the house, read from the imports: downwards only, siblings apart, one home for each library."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import auditor

PACKAGE = Path(auditor.__file__).parent

LAYERS = [
    {"cli", "__main__"},
    {"demo", "progress", "starter"},
    {"run"},
    {"report", "judge", "evaluate", "plan", "measure", "quantize"},
    {"datasets", "corruptions", "models"},
    {"config", "store", "provenance", "executors", "extensions"},
    {"values", "boxes", "errors"},
]

HOMES = {
    "click": {"cli"},
    "rich": {"progress"},
    "jinja2": {"report"},
    "defusedxml": {"datasets"},
    "vl_convert": {"report"},
    "pycocotools": {"evaluate"},
    "albumentations": {"corruptions"},
    "ai_edge_litert": {"models"},
    "flatbuffers": {"models"},
    "pydantic": {"config"},
    "pydantic_core": {"config"},
    "yaml": {"config"},
    "pyarrow": {"store"},
    "distributed": {"executors"},
    "litert_quantizer": {"quantize"},
    "tensorflow": {"models"},
    "tflite_runtime": {"models"},
    "numpy": None,
    "cv2": None,
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "auditor":
                yield from (f"auditor.{alias.name}" for alias in node.names)
            else:
                yield node.module


MODULES = [
    path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "train.py" and path != PACKAGE / "__init__.py"
]


def layer(name: str) -> int:
    return next(index for index, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards_and_libraries_have_one_home(path):
    here = room(path)
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "auditor":
            other = rest.split(".")[0]
            if other != here:
                assert layer(other) > layer(here), f"{here} imports {other}"
        elif top not in sys.stdlib_module_names:
            assert top in HOMES, f"{top} has no home"
            assert HOMES[top] is None or here in HOMES[top], f"{here} imports {top}"


def test_every_room_is_on_the_plan():
    assert {room(path) for path in MODULES} <= set().union(*LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_say_what_they_are_and_stay_small(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "no docstring"
    assert len(path.read_text().splitlines()) <= 500
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


def test_the_api_is_what_it_says():
    for name in auditor.__all__:
        assert getattr(auditor, name) is not None
    assert dir(auditor) == sorted(auditor.__all__)
    with pytest.raises(AttributeError):
        auditor.nothing  # noqa: B018
