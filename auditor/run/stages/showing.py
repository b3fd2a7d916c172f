"""The gallery: of each cell the images on which most is lost, with what is true and what is said of them, and their
pictures; after the result is saved: what cannot be shown costs nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.config import GalleryConfig, gallery_document
from auditor.corruptions.corrupt import moves
from auditor.datasets.image_files import read_record
from auditor.executors import ProcessExecutor, SerialExecutor, open_executor
from auditor.provenance import digest, same_versions
from auditor.run.session import Session, State
from auditor.run.stages.truths import Truths
from auditor.run.thumbnails import Thumbnail, thumbnail
from auditor.store import Stored, save_bytes, save_json
from auditor.tasks.anatomy.cells import (
    CellTask,
    cell_task,
    evaluation_at,
    marked_cell,
    point_of,
)
from auditor.values import (
    CLEAN,
    AuditResult,
    Cell,
    GalleryImage,
    GalleryRecord,
    Mark,
    Marked,
    ScenarioSpec,
    SeenImage,
    picture_key,
)

__all__ = ["Outline", "image_of", "outline", "pictures_of", "ranked_images", "seen_of", "show_gallery", "task_of_cell"]

_CHUNK = 32
_OF_ALARMS = 4
"""One in so many images is chosen for the confidence of its false alarms."""


@dataclass(frozen=True)
class Outline:
    """What is needed of an image to choose it: which of its objects are found, and the scores of false alarms."""

    hits: tuple[bool, ...]
    alarms: int
    surest: float

    @classmethod
    def of(cls, marked: Marked) -> Outline:
        """That of what is marked."""
        return cls(marked.hits, len(marked.alarms), max(marked.alarms, default=0.0))


def outline(task: CellTask) -> dict[int, Outline]:
    """The outlines of a cell's images, by their ids."""
    return {image_id: Outline.of(found) for image_id, found in marked_cell(task).items()}


def ranked_images(mine: Mapping[int, Outline], clean: Mapping[int, Outline] | None) -> list[tuple[int, int]]:
    """Images with how many objects each loses beside the clean ones (of these themselves: misses), those that lose most
    first, then those with most false alarms; without any error, an image is left out."""
    lost = {}
    for image_id, found in mine.items():
        before = clean[image_id].hits if clean is not None and image_id in clean else ()
        if len(before) != len(found.hits):  # without the clean one, or where some objects left the picture
            before = (True,) * len(found.hits)
        lost[image_id] = sum(was and not is_ for was, is_ in zip(before, found.hits, strict=True))
    wrong = [image_id for image_id in mine if lost[image_id] or mine[image_id].alarms]
    order = sorted(wrong, key=lambda image_id: (-lost[image_id], -mine[image_id].alarms, -mine[image_id].surest))
    return [(image_id, lost[image_id]) for image_id in order]


def _chosen(mine: Mapping[int, Outline], clean: Mapping[int, Outline] | None, most: int) -> list[tuple[int, int]]:
    """Some of these: most by what they lose, the others by their most confident false alarm."""
    ranked = ranked_images(mine, clean)
    first = ranked[: max(1, most - most // _OF_ALARMS)]
    rest = sorted(ranked[len(first) :], key=lambda pair: -mine[pair[0]].surest)
    return [*first, *rest[: most - len(first)]]


class _Cells:
    """The cells of a gallery, and the tasks that mark them."""

    def __init__(self, session: Session, state: State, result: AuditResult) -> None:
        self._session, self._state = session, state
        severity = result.plan.middle_severity
        known = {cell.key: cell for cell in result.cells if cell.is_declared and cell.is_local and cell.status == "ok"}
        every = {**dict(state.plan.cells()), **state.units}
        self.units = {
            cell: units
            for cell, units in every.items()
            if cell in known and (cell.is_clean or cell.severity == severity) and known[cell].of_images is None
        }
        self._truths = Truths(state.plan)

    def task(self, cell: Cell) -> CellTask:
        """What marks a cell."""
        return task_of_cell(self._session, self._state, cell, self.units[cell], self._truths)

    def marks(self, asked: Mapping[Cell, Sequence[int]]) -> Iterator[tuple[Cell, Mapping[int, Marked]]]:
        """What is marked of some images of each cell."""
        jobs = [(self.task(cell), tuple(images)) for cell, images in asked.items() if images]
        for outcome in self._session.executor.map(_marked, jobs):
            task, _ = outcome.item
            if outcome.error is None:
                yield task.cell, outcome.result

    def outlines(self) -> dict[Cell, Mapping[int, Outline]]:
        """What is found on every image of each cell; of what cannot be told, nothing."""
        found = {}
        for outcome in self._session.executor.map(outline, [self.task(cell) for cell in self.units]):
            if outcome.error is None and outcome.result:
                found[outcome.item.cell] = outcome.result
            elif outcome.error is not None:
                reason = outcome.error.strip().splitlines()[-1][:200]
                self._session.progress.say(f"no gallery of {outcome.item.cell}: {reason}")
        return found


def task_of_cell(session: Session, state: State, cell: Cell, units: Sequence[Any], truths: Truths) -> CellTask:
    """What a cell that was evaluated is evaluated from; `truths` are kept between calls."""
    plan = state.plan
    spec = plan.subjects.spec(cell.file)
    dataset, match = plan.datasets[spec.dataset], plan.subjects.matches[cell.file]
    keys = tuple(unit.resume_key for unit in units)
    point = point_of(state.points, cell)
    return dataclasses.replace(
        cell_task(cell, spec, dataset, match, truths.of(cell)),
        predictions=Stored(session.folder, keys, spec.key, cell.delegate, cell.severity),
        seed=plan.subjects.seed,
        evaluation=evaluation_at(plan.subjects.evaluation, point),
        point=point,
    )


def _marked(job: tuple[CellTask, tuple[int, ...]]) -> Mapping[int, Marked]:
    task, images = job
    return marked_cell(task, images)


def show_gallery(session: Session, state: State, result: AuditResult) -> None:
    """Save the gallery of a run, as `gallery:` asks for it."""
    asked = session.config.shows
    _forget(session.folder)
    if asked.images == 0:
        return
    with _here(session) as session:
        _show(session, state, result, asked)


@contextlib.contextmanager
def _here(session: Session) -> Iterator[Session]:
    """The session with workers on this machine, where the run folder and the images are: a cluster was let go when
    speeds were measured."""
    if isinstance(session.executor, SerialExecutor | ProcessExecutor):
        yield session
        return
    workers = open_executor("processes", jobs=None, versions=same_versions)
    try:
        yield dataclasses.replace(session, executor=workers)
    finally:
        workers.close()


def _show(session: Session, state: State, result: AuditResult, asked: GalleryConfig) -> None:
    cells = _Cells(session, state, result)
    outlines = cells.outlines()
    clean = {(cell.file, cell.delegate): found for cell, found in outlines.items() if cell.is_clean}
    lost: dict[Cell, dict[int, int]] = {}
    for cell, found in outlines.items():
        beside = None if cell.is_clean else clean.get((cell.file, cell.delegate))
        lost[cell] = dict(_chosen(found, beside, asked.images))
    images: dict[tuple[str, int, tuple[Mark, ...]], GalleryImage] = {}
    seen: list[SeenImage] = []
    for cell, marks in cells.marks({cell: list(found) for cell, found in lost.items()}):
        name = state.plan.subjects.spec(cell.file).dataset
        for image_id in lost[cell]:
            if image_id not in marks:
                continue
            key = (name, image_id, marks[image_id].truth)  # models of other classes are held against other objects
            if key not in images:
                images[key] = image_of(state, name, image_id, marks[image_id])
            place = list(images).index(key)
            seen.append(seen_of(cell, place, lost[cell][image_id], marks[image_id]))
    order = {cell: number for number, cell in enumerate(cells.units)}
    seen.sort(key=lambda item: order[Cell(*_key(state, item))])
    record = GalleryRecord(
        images=tuple(images.values()),
        seen=tuple(seen),
        width=asked.width,
        megabytes=asked.megabytes,
        has_boxes=any(mark.box is not None for image in images.values() for mark in image.truth),
    )
    if asked.width is not None:
        record = _with_pictures(session, state, record)
    save_json(session.folder / "gallery" / "index.json", gallery_document(record))


def _forget(folder: Path) -> None:
    """Delete the gallery of an earlier run in this folder, which may have been asked for otherwise."""
    for path in [*(folder / "gallery").glob("*.webp"), folder / "gallery" / "index.json"]:
        path.unlink(missing_ok=True)


def _key(state: State, seen: SeenImage) -> tuple[str, str, str, str, str, float]:
    spec = state.plan.subjects.spec(seen.file)
    return spec.model, spec.name, spec.quantization, seen.delegate, seen.scenario, seen.severity


def image_of(state: State, dataset: str, image_id: int, marked: Marked) -> GalleryImage:
    """An image of a gallery, without pictures.

    Raises:
        DataError: its annotations have no size, and it cannot be read.
    """
    record = next(record for record in state.plan.datasets[dataset].images if record.id == image_id)
    if record.size is not None:
        width, height = record.size
    else:
        height, width = read_record(record).shape[:2]
    return GalleryImage(dataset, image_id, record.called, width, height, marked.truth)


def seen_of(cell: Cell, place: int, lost: int, marked: Marked) -> SeenImage:
    """What a cell's model says of the image at a place of a gallery."""
    return SeenImage(
        cell.file,
        cell.delegate,
        cell.scenario,
        cell.severity,
        place,
        lost,
        len(marked.alarms),
        marked.found,
    )


def _with_pictures(session: Session, state: State, record: GalleryRecord) -> GalleryRecord:
    """Add pictures as far as they fit: of each cell the first image with its clean picture, then of each the second,
    and so on."""
    scenarios = {scenario.key: scenario for scenario in state.plan.subjects.scenarios}
    moving = [key for key, scenario in scenarios.items() if moves(scenario)]
    wanted = list(_in_turn(record, moving))
    left, pictures, full = record.megabytes * 1e6, dict[tuple[int, str], str](), False
    for start in range(0, len(wanted), _CHUNK):
        chunk = wanted[start : start + _CHUNK]
        jobs = [(pair, _job(session, state, record, pair, scenarios)) for pair in chunk]
        made = {
            outcome.item[0]: outcome.result for outcome in session.executor.map(_drawn, jobs) if outcome.error is None
        }
        for pair in chunk:
            content = made.get(pair)
            if content is None or full:
                continue
            size = len(content) * 4 / 3  # as the page holds it
            full = size > left
            if not full:
                left -= size
                name = f"{digest(record.images[pair[0]].dataset, record.images[pair[0]].id, *pair[1:])[:16]}.webp"
                save_bytes(session.folder / "gallery" / name, content)
                pictures[pair[0], picture_key(*pair[1:])] = name
        if full:
            break
    images = tuple(
        dataclasses.replace(image, pictures={key: name for (at, key), name in pictures.items() if at == number})
        for number, image in enumerate(record.images)
    )
    return dataclasses.replace(record, images=images, left_out=len(wanted) - len(pictures))


_Pair = tuple[int, str, float]


def _drawn(job: tuple[_Pair, Thumbnail]) -> bytes:
    return thumbnail(job[1])


def _in_turn(record: GalleryRecord, moving: Collection[str]) -> Iterator[_Pair]:
    """The pictures of a gallery, each once: the first of each cell, then the second of each."""
    by_cell: dict[tuple[str, str, str, float], list[SeenImage]] = {}
    for item in record.seen:
        by_cell.setdefault((item.file, item.delegate, item.scenario, item.severity), []).append(item)
    told = set()
    for turn in range(max(map(len, by_cell.values()), default=0)):
        for seen in by_cell.values():
            for pair in pictures_of(seen[turn], moving) if turn < len(seen) else ():
                if pair not in told:
                    told.add(pair)
                    yield pair


def pictures_of(item: SeenImage, moving: Collection[str]) -> Iterator[_Pair]:
    """The pictures that show an image: the clean one, but where its objects are elsewhere, and its own."""
    if item.scenario not in moving:
        yield item.image, CLEAN, 0.0
    if item.scenario != CLEAN:
        yield item.image, item.scenario, item.severity


def _job(
    session: Session, state: State, record: GalleryRecord, pair: _Pair, scenarios: Mapping[str, ScenarioSpec]
) -> Thumbnail:
    number, scenario, severity = pair
    image = record.images[number]
    found = next(item for item in state.plan.datasets[image.dataset].images if item.id == image.id)
    width = session.config.shows.width or 1
    return Thumbnail(found, scenarios.get(scenario), severity, state.plan.subjects.seed, width)
