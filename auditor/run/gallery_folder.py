"""The gallery of some scenarios as a folder of its own: as many images as are asked for, as files beside a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from auditor.corruptions.corrupt import moves
from auditor.errors import InputError
from auditor.report.gallery_page import render_gallery
from auditor.report.gallery_pictures import Gallery
from auditor.run.revisiting import Revisited
from auditor.run.stages.showing import Outline, image_of, pictures_of, ranked_images, seen_of
from auditor.run.thumbnails import Thumbnail, thumbnail
from auditor.store import save_bytes, save_text
from auditor.tasks.anatomy.cells import marked_cell
from auditor.values import GalleryImage, GalleryRecord, Mark, SeenImage, picture_key

__all__ = ["write_gallery"]

_Key = tuple[str, int, tuple[Mark, ...]]


def write_gallery(run: Revisited, folder: Path, *, most: int | None, width: int) -> tuple[Path, int]:
    """Write the page and the pictures of all cells of a run that was opened: of each those images on which most is
    lost, `most` of them (None: every image, those without an error last). Return the page, and how many pictures there
    are.

    Raises:
        InputError: there is nothing to show.
        StoreError: the folder cannot be written, or measurements are damaged.
    """
    marks = {cell: marked_cell(run.task(cell)) for cell in run.cells}
    outlines = {cell: {i: Outline.of(found) for i, found in mine.items()} for cell, mine in marks.items()}
    clean = {(cell.file, cell.delegate): found for cell, found in outlines.items() if cell.is_clean}
    images: dict[_Key, GalleryImage] = {}
    seen: list[SeenImage] = []
    for cell, mine in outlines.items():
        beside = None if cell.is_clean else clean.get((cell.file, cell.delegate))
        for image_id, lost in _chosen(mine, beside, most):
            name = run.state.plan.subjects.spec(cell.file).dataset
            key = (name, image_id, marks[cell][image_id].truth)
            if key not in images:
                images[key] = image_of(run.state, name, image_id, marks[cell][image_id])
            place = list(images).index(key)
            seen.append(seen_of(cell, place, lost, marks[cell][image_id]))
    if not seen:
        raise InputError(
            "there is nothing to show: pictures need truth, and an operating point or a class for each image, and only "
            "images with an error are shown without --all"
        )
    record = GalleryRecord(tuple(images.values()), tuple(seen), width, 0.0)
    record = dataclasses.replace(record, has_boxes=any(m.box is not None for i in record.images for m in i.truth))
    record, count = _with_pictures(run, folder, record)
    names = {name: f"pictures/{name}" for image in record.images for name in image.pictures.values()}
    page = folder / "index.html"
    save_text(page, render_gallery(run.result, Gallery(record, names)))
    return page, count


def _chosen(
    mine: Mapping[int, Outline], clean: Mapping[int, Outline] | None, most: int | None
) -> Sequence[tuple[int, int]]:
    ranked = ranked_images(mine, clean)
    if most is not None:
        return ranked[:most]
    return [*ranked, *((image_id, 0) for image_id in mine if image_id not in dict(ranked))]


def _with_pictures(run: Revisited, folder: Path, record: GalleryRecord) -> tuple[GalleryRecord, int]:
    """Write the pictures of a gallery, each once."""
    scenarios = {scenario.key: scenario for scenario in run.state.plan.subjects.scenarios}
    moving = [key for key, scenario in scenarios.items() if moves(scenario)]
    wanted = dict.fromkeys(pair for item in record.seen for pair in pictures_of(item, moving))
    pictures: dict[int, dict[str, str]] = {}
    run.session.progress.stage("writing pictures", of=len(wanted), what="pictures")
    for number, scenario, severity in wanted:
        image = record.images[number]
        source = next(item for item in run.state.plan.datasets[image.dataset].images if item.id == image.id)
        seed = run.state.plan.subjects.seed
        content = thumbnail(Thumbnail(source, scenarios.get(scenario), severity, seed, record.width or 1))
        stem = f"{number}-{scenario.replace('/', '-')}-{severity:g}"
        save_bytes(folder / "pictures" / f"{stem}.webp", content)
        pictures.setdefault(number, {})[picture_key(scenario, severity)] = f"{stem}.webp"
        run.session.progress.done()
    images = tuple(
        dataclasses.replace(image, pictures=pictures.get(number, {})) for number, image in enumerate(record.images)
    )
    return dataclasses.replace(record, images=images), len(wanted)
