"""The manual: pages of Markdown that ship with the package, their tables made from the registries.

`python -m auditor.manual` writes the tables into the pages of a checkout anew.
"""

from __future__ import annotations

import importlib.resources
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from auditor import extensions
from auditor.config import Parameters, load_pack, nearest, parameters_of
from auditor.corruptions.corrupt import FILLED
from auditor.corruptions.packs import built_in_packs
from auditor.datasets.dataset import Format
from auditor.errors import InputError
from auditor.heads.anatomy.head import BOX_OPTIONS, Head
from auditor.judge.told import Row
from auditor.tasks.anatomy.task import Task
from auditor.values import MEASURED_METRICS, yaml_flow

__all__ = ["page_names", "page_text", "page_titles", "refreshed", "tables"]

_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def page_names() -> list[str]:
    """Name the pages, sorted."""
    pages = importlib.resources.files("auditor").joinpath("docs").iterdir()
    return sorted(page.name.removesuffix(".md") for page in pages if page.name.endswith(".md"))


def page_text(name: str) -> str:
    """Return a page.

    Raises:
        InputError: there is no such page.
    """
    if name not in page_names():
        raise InputError(f"no page {name!r} in the manual; {nearest(name, page_names())}")
    return importlib.resources.files("auditor").joinpath("docs", f"{name}.md").read_text(encoding="utf-8")


def page_titles() -> dict[str, str]:
    """Name each page with its title."""
    return {name: page_text(name).splitlines()[0].lstrip("# ") for name in page_names()}


def refreshed(text: str) -> str:
    """Return a page with its tables made anew."""
    return _TABLE.sub(lambda found: f"{found[1]}\n{tables()[found[2]]()}\n\n{found[3]}", text)


def tables() -> dict[str, Callable[[], str]]:
    """Every table by its name, as Markdown: what is built in, without what other packages register."""
    return {
        "heads": _heads,
        "head_options": _head_options,
        "datasets": _datasets,
        "metrics": _metrics,
        "scenarios": _scenarios,
        "corruptions": _corruptions,
        "movements": _movements,
        "findings": _findings,
    }


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _heads() -> str:
    rows = []
    for name in extensions.built_in("heads"):
        head: Head = extensions.resolve("heads", name)
        rows.append((f"`{name}`", head.about, _fed(head)))
    return _table(("decoder", "outputs", "input by default"), rows)


def _fed(head: Head) -> str:
    if head.input is None:
        return "must be given"
    given = {key: value for key, value in head.input.items() if key not in ("rounding", "interpolation")}
    if given["resize"] == "stretch":
        given = {key: value for key, value in given.items() if key not in ("anchor", "pad")}
    return f"`{yaml_flow(given)}`"


def _head_options() -> str:
    rows = []
    for name in extensions.built_in("heads"):
        head: Head = extensions.resolve("heads", name)
        own = {key: option for key, option in head.options.items() if BOX_OPTIONS.get(key) is not option}
        rows += [(f"`{name}`", f"`{key}`", option.expected) for key, option in own.items()]
    return _table(("decoder", "option", "expected"), rows)


def _datasets() -> str:
    formats: list[Format] = [extensions.resolve("datasets", name) for name in extensions.built_in("datasets")]
    rows = []
    for form in sorted(formats, key=lambda form: form.rank):
        keys = "; ".join(f"`{key}`: {expected}" for key, expected in form.keys.items())
        rows.append((f"`{form.name}`", form.about, form.task or "any", keys))
    return _table(("format", "what", "task", "keys"), rows)


def _metrics() -> str:
    rows = []
    for name in extensions.built_in("tasks"):
        task: Task = extensions.resolve("tasks", name)
        rows += [(f"`{metric}`", about, f"cells of {name}") for metric, about in task.metrics.items()]
        rows += [(f"`{metric}/<class>`", f"{metric} of one class", f"cells of {name}") for metric in task.per_class]
        rows += [(f"`{metric}`", about, f"cells of {name}") for metric, about in task.compared_metrics.items()]
        rows.append((f"`{task.primary}_clean`", f"{task.primary} on clean images", "summaries"))
    rows += [("`mPC`, `rPC`", "mean over scenarios; mPC ÷ clean", "summaries")]
    rows += [(f"`{metric}`", found.about, f"probe {found.probe}") for metric, found in MEASURED_METRICS.items()]
    return _table(("metric", "what", "of"), rows)


def _scenarios() -> str:
    rows = []
    for name, path in built_in_packs().items():
        config, _ = load_pack(path)
        for scenario, found in config.scenarios.items():
            knobs = "; ".join(", ".join(f"{value:g}" for value in values) for values in found.knobs.values())
            rows.append((f"`{name}/{scenario}`", found.about, f"{knobs} ({found.unit})"))
    return _table(("scenario", "what it stands for", "severities 1 to 5"), rows)


def _corruptions() -> str:
    return _functions("corruptions")


def _movements() -> str:
    return _functions("movements")


def _functions(group: str) -> str:
    """Functions that packs name: what they take, and the first sentence of what they do."""
    rows = []
    for name in sorted(extensions.built_in(group)):
        function = extensions.resolve(group, name)
        parameters = parameters_of(function, FILLED)
        knobs = [_knob(parameters, knob) for knob in parameters.types]
        about = " ".join(str(inspect.getdoc(function)).split("\n\n")[0].split())
        rows.append((f"`{name}`", ", ".join(knobs), about))
    return _table(("transform", "takes", "what it does"), rows)


def _knob(parameters: Parameters, name: str) -> str:
    limits = parameters.expected(name)
    told = [limits] if limits else []
    told += ["optional"] if name in parameters.optional else []
    return f"`{name}`" + (f" ({'; '.join(told)})" if told else "")


def _findings() -> str:
    rows: dict[str, Row] = extensions.resolve("catalogues", "built_in")
    listed = sorted(rows.items(), key=lambda item: (item[1].check, item[0]))
    return _table(
        ("code", "check", "level", "what", "page"),
        [(f"`{code}`", row.check, row.level, row.about, row.page) for code, row in listed],
    )


def _main() -> None:
    for name in page_names():
        path = Path(__file__).parent / "docs" / f"{name}.md"
        path.write_text(refreshed(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    _main()
