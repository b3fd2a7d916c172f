"""The house, read from its own code: arrows downwards, one home for each library and each concept, small rooms."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import auditor
from auditor import delegate, extensions
from auditor.values import levels

PACKAGE = Path(auditor.__file__).parent

LAYERS = [
    {"__main__"},
    {"cli"},
    {"demo", "terminal", "starter", "manual", "doctor"},
    {"run"},
    {"report", "judge", "bundle"},
    {"resolve"},
    {"plan", "quantize", "measure"},
    {"tasks"},
    {"evaluate"},
    {"heads", "runtimes", "datasets", "corruptions"},
    {"config", "store", "provenance", "executors", "extensions", "encoding"},
    {"values"},
    {"delegate", "boxes", "errors", "files"},
]

HOMES = {
    "click": {"cli"},
    "rich": {"terminal"},
    "jinja2": {"report"},
    "markupsafe": {"report"},
    "defusedxml": {"datasets"},
    "vl_convert": {"report"},
    "cyclonedx": {"report"},
    "scipy": {"evaluate"},
    "pycocotools": {"tasks"},
    "hotcoco": {"tasks"},
    "albumentations": {"corruptions"},
    "annotated_types": {"corruptions"},
    "av": {"corruptions", "datasets", "demo"},
    "ai_edge_litert": {"runtimes"},
    "flatbuffers": {"runtimes"},
    "pydantic": {"config"},
    "packaging": {"doctor"},
    "platformdirs": {"store"},
    "filelock": {"store"},
    "fsspec": {"resolve"},
    "pydantic_core": {"config"},
    "yaml": {"config"},
    "pyarrow": {"store"},
    "distributed": {"executors"},
    "litert_quantizer": {"quantize"},
    "tensorflow": {"runtimes"},
    "tflite_runtime": {"runtimes"},
    "typing_extensions": None,
    "numpy": None,
    "cv2": None,
}

SCRIPTS = {
    PACKAGE / "demo" / "train.py",  # trains the demo's model, and is imported by nothing
    PACKAGE / "bundle" / "runner.py",  # runs elsewhere, without this package
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "auditor":
                yield from (f"auditor.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path not in SCRIPTS and path != PACKAGE / "__init__.py"]
every_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))


def layer(name: str) -> int:
    return next(index for index, names in enumerate(LAYERS) if name in names)


@every_module
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


def test_every_room_is_on_the_plan_and_every_entry_is_a_room():
    assert {room(path) for path in MODULES} == set().union(*LAYERS)


def test_judging_knows_values_alone():
    for path in MODULES:
        if room(path) == "judge":
            others = {name.split(".")[1] for name in imports(path) if name.startswith("auditor.")}
            assert others <= {"values", "judge", "extensions"}, f"{path.name} imports {others}"


@every_module
def test_modules_say_what_they_are_and_stay_small(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring"
    assert len(text.splitlines()) <= 500
    assert max(map(len, text.splitlines())) <= 120
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


@every_module
def test_a_module_leans_on_few_others(path):
    """Fan-out: the modules of this package, however many names are taken from each."""
    used = {name for name in imports(path) if name.startswith("auditor")}
    assert len(used) <= 15, sorted(used)


def test_templates_are_lines_that_can_be_read():
    for path in (*PACKAGE.rglob("*.j2"), *PACKAGE.glob("report/static/*")):
        lines = path.read_text().splitlines()
        assert max(map(len, lines)) <= 120, path.name
        assert len(lines) <= 500, path.name


def test_no_two_modules_share_a_name():
    names = Counter(path.stem for path in MODULES if path.stem not in ("__init__", "__main__"))
    assert [name for name, count in names.items() if count > 1] == []
    packages = {path.parent.name for path in MODULES if path.stem == "__init__"}
    assert not packages & set(names) - {"anatomy"}


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The string literals that are data: no docstring, no text after an assignment."""
    tree = ast.parse(path.read_text())
    prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            yield node.lineno, node.value


DTYPES = {"float32", "float16", "int8"}
"""Levels whose names are also those of a tensor's type, which every runtime speaks of."""

CONCEPTS = {
    "heads": (set(extensions.built_in("heads")), {"heads"}),
    "tasks": (set(extensions.built_in("tasks")), {"tasks", "heads", "datasets"}),
    "delegates": (set(delegate.BUILT_IN) - {delegate.NONE.name}, {"delegate", "runtimes"}),
    "levels": ({*levels.ASKED, *levels.REMEDIES} - DTYPES, {"values"}),
}
"""The words of each concept, and the rooms that may write them: a head declares its task and a data set format its own;
the runtime is what a delegate's name means something to."""

OLD_WORDS = {PACKAGE / "config" / "migrations.py"}
"""Documents of old schemas hold the words of their day."""


@pytest.mark.parametrize("concept", CONCEPTS)
def test_the_words_of_a_concept_stand_in_its_home(concept):
    words, homes = CONCEPTS[concept]
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text!r}"
        for path in MODULES
        if room(path) not in {*homes, "demo"} and path not in OLD_WORDS
        for line, text in strings(path)
        if text in words
    ]
    assert found == []


def test_a_head_names_no_other_and_a_task_no_other():
    for group, folder in (("heads", "heads"), ("tasks", "tasks")):
        names = set(extensions.built_in(group))
        for path in MODULES:
            parts = path.relative_to(PACKAGE).parts
            if parts[0] == folder and len(parts) > 1:
                own = parts[1].removesuffix(".py")
                others = {text for _, text in strings(path)} & names - {own}
                assert not others, f"{path.name} names {others}"


def test_nothing_branches_on_a_name():
    """No comparison of a head, a task or a delegate with the name of one, wherever it stands."""
    names = {*extensions.built_in("heads"), *extensions.built_in("tasks"), *delegate.BUILT_IN}
    found = []
    for path in MODULES:
        if path in OLD_WORDS or room(path) in {"delegate", "runtimes"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                words = ast.unparse(node)
                literals = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
                concerns = any(word in words for word in ("delegate", "task", "decoder", "head"))
                if concerns and literals & names:
                    found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {words}")
    assert found == []


TASK_METRICS = {name for task in extensions.every("tasks").values() for name in task.metrics}


def test_metrics_are_named_by_their_task_alone():
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text!r}"
        for path in MODULES
        if room(path) not in {"tasks", "demo"} and path not in OLD_WORDS
        for line, text in strings(path)
        if text in TASK_METRICS
    ]
    assert found == []


UNTYPED = {"values", "judge", "evaluate", "report"}


def test_signatures_are_typed_to_the_leaf():
    """No `dict[str, Any]` (nor another mapping of it) where something is handed over, and no field of a value so."""
    for path in MODULES:
        if room(path) not in UNTYPED:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            annotations = []
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                spec = node.args
                annotations = [a.annotation for a in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs) if a.annotation]
                annotations += [node.returns] if node.returns else []
            elif isinstance(node, ast.ClassDef):
                annotations = [field.annotation for field in node.body if isinstance(field, ast.AnnAssign)]
            for annotation in annotations:
                text = ast.unparse(annotation)
                untyped = any(f"{kind}[str, Any]" in text for kind in ("dict", "Dict", "Mapping", "MutableMapping"))
                assert not untyped, f"{path.relative_to(PACKAGE)}:{node.lineno}: {text}"


def test_the_api_is_what_it_says():
    for name in auditor.__all__:
        assert getattr(auditor, name) is not None
    assert dir(auditor) == sorted(auditor.__all__)
    with pytest.raises(AttributeError):
        auditor.nothing  # noqa: B018
