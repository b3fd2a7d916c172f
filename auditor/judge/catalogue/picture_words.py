"""What is said of the data set and of calibration images."""

from __future__ import annotations

from auditor.judge.catalogue.row import CATALOGUE, row
from auditor.judge.told import Row, Words
from auditor.values import Level, some

__all__: list[str] = []


@row("data.unlabelled", "data", "info", "datasets", "The data set has no truth: accuracy is unknown.")
def _unlabelled(dataset: str, images: int) -> Words:
    return Words(
        f"{dataset} ({images} images) has no truth, so accuracy is unknown: what can be told is how stable the models "
        "are (flips beside clean images and beside the first level), their parity and their speed",
        "Annotate some of the images, a few hundred at least, to learn the accuracy.",
    )


@row("data.few_images", "data", "info", "datasets", "So few images that metrics move from sample to sample.")
def _few_images(dataset: str, images: int, boxes: int | None, enough: int) -> Words:
    size = f"{images} images" + ("" if boxes is None else f" and {boxes} boxes")
    return Words(
        f"{dataset} has {size}: metrics of so few move by several points from sample to sample",
        f"Judge on {enough} images or more before a release, and read small differences as noise.",
    )


@row(
    "data.short_clip", "data", "info", "datasets", "A clip of so few seconds that its numbers are of this scene alone."
)
def _short_clip(dataset: str, frames: int, blocks: int, tracks: int, enough: int) -> Words:
    of = f", of {tracks} objects" if tracks else ""
    pieces = "less than ten seconds, so that it has no intervals" if blocks == 1 else f"{blocks} pieces of two seconds"
    by = "by any amount" if blocks == 1 else "by more than its intervals say"
    return Words(
        f"the clip of {dataset} is {pieces} ({frames} frames{of}): neighbouring frames are alike, and other footage of "
        f"the same place may differ {by}",
        f"Judge on {2 * enough} seconds or more, of several hours of the day; read differences between models on the "
        "same frames rather than the numbers themselves.",
    )


@row("data.sparse_truth", "data", "warning", "datasets", "Only every so many frames of a clip have true boxes.")
def _sparse_truth(dataset: str, frames: int, without: int, every: int) -> Words:
    return Words(
        f"{without} of {frames} frames of the clip of {dataset} have no true box, and the others come at equal gaps of "
        f"{every}: if the frames between were not annotated, all that is found on them counts as false",
        f"If so, write `every: {every}`, which takes the frames 1, {1 + every}, {1 + 2 * every}, …; else nothing.",
    )


@row("data.truth_ends", "data", "info", "datasets", "The last true box stands long before the end of a clip.")
def _truth_ends(dataset: str, frames: int, without: int, last: int) -> Words:
    return Words(
        f"the last true box of the clip of {dataset} is on frame {last}, and {without} of its {frames} frames have "
        "none: if annotation ended there, all that is found behind it counts as false",
        f"If so, write `limit: {last}`, or give the clip that was annotated; if nothing is to be seen, do nothing.",
    )


@row("data.rare_classes", "data", "info", "datasets", "Classes of which there are hardly any objects.")
def _rare(dataset: str, rare: list[str], classes: int, few: int, things: str, without: int) -> Words:
    none = f", {without} have none" if without else ""
    return Words(
        f"{len(rare)} of {classes} classes of {dataset} have fewer than {few} {things} ({some(rare, 6)}){none}",
        "Read the per-class numbers of these classes as noise, or add images of them.",
    )


def _data(code: str, about: str, message: str, remedy: str, level: Level = "warning") -> None:
    CATALOGUE[code] = Row(
        "data", level, about, "datasets", lambda count, dataset: Words(f"{count} {message.format(dataset)}", remedy)
    )


@row("data.missing_files", "data", "warning", "datasets", "Image files that the annotations name are missing.")
def _missing_files(count: int, dataset: str, named: list[str]) -> Words:
    return Words(
        f"{count} image files of {dataset} are missing; they are left out of every cell{_listed(count, named)}",
        "Complete the images, or remove them from the annotations.",
    )


def _listed(count: int, named: list[str]) -> str:
    """The first of several images, and where the others stand."""
    if not named:
        return ""
    more = f" and {count - len(named)} more (`datasets` in result.json has all)" if count > len(named) else ""
    return f": {', '.join(named)}{more}"


@row("data.dark_bits", "data", "error", "datasets", "Images of 16 bits use only the lower ones, and are read as black.")
def _dark_bits(dataset: str, count: int, used: int, line: str) -> Words:
    return Words(
        f"{count} images of {dataset} have 16 bits, of which they use {used}: read as 16 bits they are nearly "
        "black, and so are the numbers",
        f"Write in audit.yaml: {line} (or `bits: 16`, if the scenes are that dark)",
    )


@row("data.mixed_bits", "data", "warning", "datasets", "Some images of 16 bits use far fewer than the others.")
def _mixed_bits(dataset: str, count: int, deep: int, used: int) -> Words:
    return Words(
        f"{count} of {deep} images of {dataset} with 16 bits use 12 of them at most, and the others {used}: they are "
        "dark, or of a camera of fewer bits, and then read as nearly black",
        "Look at one; if they are of another camera, keep them in a data set of their own, with `bits: 12`.",
    )


@row("data.beyond_bits", "data", "error", "datasets", "Images hold more than the bits that the document says.")
def _beyond_bits(dataset: str, count: int, bits: int | None, used: int) -> Words:
    return Words(
        f"{count} images of {dataset} hold values beyond the {bits} bits that the document says (they use {used}): "
        "these are cut off as white",
        "Correct `bits:`, or leave it out.",
    )


@row("data.missing_labels", "data", "info", "datasets", "Images without a label file.")
def _missing_labels(dataset: str, count: int, images: int) -> Words:
    return Words(
        f"{count} of {images} images of {dataset} have no label file; they are judged as images without any object",
        "Nothing, if they are background; else complete the label files: what is found there counts as a false alarm.",
    )


@row("data.first_pixel", "data", "info", "datasets", "Where the pixels of Pascal VOC are counted from.")
def _first_pixel(dataset: str, first: int) -> Words:
    seen = "some corner is below 1" if first == 0 else "no corner is below 1"
    return Words(
        f"the pixels of {dataset} are counted from {first}, since {seen}: files do not say, and it moves small boxes",
        f"Write in the data set `first_pixel: {first}`, or the other, as its annotating tool counts.",
    )


@row("data.undecided_exif", "data", "warning", "datasets", "Nothing tells whether an EXIF orientation was annotated.")
def _undecided_exif(dataset: str, count: int, images: int) -> Words:
    return Words(
        f"{count} of {images} images of {dataset} have an EXIF orientation, and no annotated size tells whether boxes "
        "were drawn on the turned or on the stored image; here it is applied",
        "Look at one of them with its boxes, and write in the data set `exif: apply` or `exif: ignore`.",
    )


_data(
    "data.zero_area_boxes",
    "True boxes without area.",
    "true boxes of {} have no area; they are left out",
    "Correct or remove these annotations.",
)
_data(
    "data.damaged_packets",
    "A clip whose packets cannot all be decoded.",
    "packets of the clip of {} are damaged, and the frames that they hold are missing",
    "Take the clip as the camera wrote it, or cut it before the damage.",
)
_data(
    "data.missing_frames",
    "A clip with fewer frames than its file says.",
    "frames fewer than its file says can be decoded of the clip of {}: it was cut, or frames in between are missing, "
    "and the truth of those behind them stands beside others",
    "Look at the last frames with their boxes in the report's gallery; take the clip that was annotated.",
)
_data(
    "data.objects_without_track",
    "Only a part of the true objects of a clip have tracks.",
    "true objects of the clip of {} have no track (`instance_id` or `track_id`), so nothing is told over frames",
    "Give each object a track, or none of them.",
)
_data(
    "data.duplicate_images",
    "Images that stand more than once, by content.",
    "images of {} stand there more than once, by their content",
    "Remove the copies: they weigh double, and flatter where they were trained on.",
)
_data(
    "data.duplicate_boxes",
    "True boxes that stand twice.",
    "true boxes of {} stand there twice, same image, class and box",
    "Remove the copies: each can be found only once, so they lower recall.",
)
_data(
    "data.boxes_outside",
    "True boxes that reach outside of their image.",
    "true boxes of {} reach outside of their image by more than a pixel",
    "Clip them, or check that images and annotations are of one size.",
)
_data(
    "data.boxes_in_corner",
    "All true boxes lie in the upper left of their images.",
    "true boxes, all of {}, end within two thirds of their image's width and height: they may have been drawn on "
    "smaller images",
    "Draw a few on their images; where they are off, scale them, or give the images that they were drawn on.",
)
_data(
    "data.images_without_line",
    "Images that the table of images does not name.",
    "images of {} have no line in `image_table`; they are in no slice of its columns",
    "Complete the table, where these images matter.",
    "info",
)
_data(
    "data.difficult_objects",
    "Objects that are marked difficult.",
    "objects of {} are marked difficult; AP ignores them, as Pascal VOC does",
    "Nothing, if they are hard even for people.",
    "info",
)


@row("data.other_size", "data", "warning", "datasets", "Images of another size than annotated.")
def _other_size(count: int) -> Words:
    return Words(
        f"{count} images have another size than their annotations say; their true boxes are probably misplaced",
        "Give the images that were annotated, or scale the annotations.",
    )


@row("data.unreadable", "data", "warning", "datasets", "Images that cannot be read.")
def _unreadable(count: int, named: list[str]) -> Words:
    return Words(
        f"{count} images could not be read; they are left out of every cell{_listed(count, named)}",
        "Replace the damaged files; `counts.failed_images` of a cell in result.json has the number.",
    )


@row("data.small_boxes", "data", "warning", "datasets", "True boxes that are tiny at the model's input.")
def _small_boxes(file: str, under_8px: float, under_16px: float, width: int, height: int) -> Words:
    return Words(
        f"{under_8px:.0%} of the true boxes are under 8 px and {under_16px:.0%} under 16 px (square root of the area) "
        "at "
        f"the {width} × {height} input of {file}",
        "Such objects can hardly be found at this input size: take a larger input or tiles, mount the camera nearer, "
        "or "
        "judge on boxes that matter.",
    )


@row("data.calibration_unlike", "data", "warning", "quantization", "Calibration images unlike the evaluated ones.")
def _unlike(entry: str, fact: str, mine: float, theirs: float, apart: float) -> Words:
    return Words(
        f"the calibration images of {entry} are unlike the evaluated ones in {fact}: median {mine:.3g} against "
        f"{theirs:.3g} (Kolmogorov-Smirnov D {apart:.2f})",
        "Calibrate on images like those of the deployment: ranges that were never seen are cut off.",
    )


@row("slices.worse", "slices", "info", "operating", "Parts of the data on which a model does worse, beyond chance.")
def _worse(file: str, delegate: str, slices: list[str], tried: int) -> Words:
    return Words(
        f"{file} ({delegate}) finds less than elsewhere, beyond chance over {tried} slices that were tried, of "
        + "; ".join(slices),
        "Train with more of these, or keep them from the device; audit them alone to hold a gate on them.",
    )


@row("slices.truth", "slices", "info", "operating", "The truth may lack objects that every model finds.")
def _truth(places: int, files: list[str], label: str, image: str, score: float) -> Words:
    return Words(
        f"in {places} places {some(files, 4)} {'are all' if len(files) > 1 else 'is'} confident of an object that the "
        f"truth does not have, first of {label} on {image} (score {score:.2f} or more)",
        "Look at the pictures in the report, and mend the annotations where they are wrong; nothing is corrected here.",
    )
