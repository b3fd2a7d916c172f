"""A section of the report as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from auditor.report.gallery_pictures import Gallery
from auditor.values import AuditResult

__all__ = ["Facts", "Section", "Shown"]

Facts = Mapping[str, object]
"""What a section's template is filled with."""


@dataclass(frozen=True)
class Shown:
    """What the report is of: a judged result, the pictures of its cells by the cell's name, and the gallery of what
    models saw; None where there is none."""

    result: AuditResult
    pictures: Mapping[str, str]
    gallery: Gallery | None = None

    @property
    def judgement(self) -> Shown:
        """This one: sections written for `shown.judgement.result` go on working."""
        return self


@dataclass(frozen=True)
class Section:
    """One section, the extension point `auditor.sections`: `facts` gives what it needs of a result, None where there
    is nothing to show; `template` is a file beside the report's own, or `source` the text of one. Sections stand by
    ascending `rank`; `title` is what it is called where the reader jumps to it, empty for one that is read on from the
    one before."""

    name: str
    rank: int
    facts: Callable[[Shown], Facts | None]
    template: str = ""
    source: str = ""
    title: str = ""
