"""A clip of simple objects that move before one background, drawn from a seed, with what is truly on each frame."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor.demo.scenes import CLASSES, background, lit, painted_object
from auditor.errors import InputError
from auditor.store import save_bytes, save_text

__all__ = ["RATE", "SIZE", "Shown", "render_clip", "write_clip", "write_clip_example"]

SIZE = (320, 240)
"""Width and height in pixels."""
RATE = 10
"""Frames a second."""
_OBJECTS = 9
_SPEED = (6.0, 40.0)
"""Pixels a second."""
_CRF = "18"
"""The quality of H.264, 0 to 51; x264's default is 23."""


@dataclass(frozen=True, eq=False)
class Shown:
    """One frame: `image` (H, W, 3) uint8 RGB; `tracks` (N,), `labels` (N,) by `CLASSES`, and `boxes` (N, 4) xyxy in
    pixels of the objects, which may reach beyond the frame."""

    image: NDArray[np.uint8]
    tracks: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]


def render_clip(seed: int, frames: int) -> Iterator[Shown]:
    """Draw so many frames of the clip of `seed`: objects cross the picture on straight ways, the later ones before the
    earlier; one that has left comes in again on the other side as a new object."""
    rng = np.random.default_rng([20261128, seed])
    width, height = SIZE
    ground = background(rng, height, width)
    labels = rng.integers(len(CLASSES), size=_OBJECTS)
    objects = [painted_object(rng, int(label), ground) for label in labels]
    starts = rng.uniform(0, 1, (_OBJECTS, 2))
    ways = rng.uniform(*_SPEED, _OBJECTS) * rng.choice([-1, 1], _OBJECTS)
    angle, share = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.2)
    for number in range(frames):
        canvas = ground.copy()
        tracks, boxes = [], []
        for index, item in enumerate(objects):
            wide, high = item.box[2] - item.box[0], item.box[3] - item.box[1]
            along = starts[index, 0] * (width + wide) + ways[index] * number / RATE
            times, left = divmod(along, width + wide)
            top = ((starts[index, 1] + 0.37 * times) % 1) * (height - high)
            shift = np.array([left - wide, top]) - item.box[:2]
            move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], dtype=np.float32)
            cover = cv2.warpAffine(item.cover, move, SIZE)[..., np.newaxis]
            canvas = canvas * (1 - cover) + cv2.warpAffine(item.pixels, move, SIZE) * cover
            tracks.append(
                1 + index + _OBJECTS * int(times - min(0, np.floor(ways[index] * frames / RATE / (width + wide))))
            )
            boxes.append(item.box + np.tile(shift, 2))
        noise = np.random.default_rng([20261128, seed, number]).normal(0, 2.0, canvas.shape).astype(np.float32)
        image = np.clip(np.rint(lit(canvas, angle, share) + noise), 0, 255).astype(np.uint8)
        yield Shown(image, np.array(tracks, dtype=np.int64), labels.astype(np.int64), np.array(boxes).reshape(-1, 4))


_FRAMES = 200
_AUDIT = """\
# A clip of the embedded example's objects, and the detector that was trained on clean, evenly lit scenes alone.
name: "auditor demo: a clip"
seed: 7
dataset: {format: video, path: clip.mp4, truth: mot, annotations: gt.txt, labels: labels.txt}
models:
  - name: demo_detector
    path: detector_float32.tflite
    decoder: yolov8
    labels: labels.txt
    input: {color: rgb, mean: 0, std: 255, resize: letterbox, anchor: center, pad: 114}
  - {name: demo_int8, variant_of: demo_detector, path: detector_int8.tflite}
scenarios: [lighting/low_light, noise/gaussian, weather/rain, security_camera/dome_dirt]
severities: [2, 4]
gallery: {images: 4, width: 360, megabytes: 0.4}
gates:
  - {metric: recall, scenario: clean, min: 0.7}
  - {metric: flicker, scenario: clean, max: 0.15}
  - {metric: first_detection_s, scenario: clean, max: 1.0}
  - {metric: recall, scenario: noise, severity: 4, max_drop: 0.1, against: clean}
"""


def write_clip_example(folder: Path) -> Path:
    """Write a clip, its truth, two levels of the detector and an `audit.yaml` into `folder`, and return the last.

    Raises:
        InputError: PyAV is not installed.
        StoreError: the folder cannot be written.
    """
    write_clip(folder, 3, _FRAMES)
    models = importlib.resources.files("auditor.demo").joinpath("models")
    for name in ("detector_float32.tflite", "detector_int8.tflite"):
        save_bytes(folder / name, models.joinpath(name).read_bytes())
    save_text(folder / "audit.yaml", _AUDIT)
    return folder / "audit.yaml"


def write_clip(folder: Path, seed: int, frames: int) -> Path:
    """Write the clip of `seed` as H.264 in `clip.mp4`, its truth in `gt.txt` as MOTChallenge's, and the names of its
    classes in `labels.txt`; return the clip. An object less than half within the frame does not count there."""
    try:
        import av
    except ImportError as error:
        raise InputError(
            'a clip is written by PyAV, which is not installed: pip install "tflite-auditor[video]"'
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "clip.mp4"
    lines: list[str] = []
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("libx264", rate=RATE, options={"crf": _CRF, "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number, shown in enumerate(render_clip(seed, frames), start=1):
            sink.mux(stream.encode(av.VideoFrame.from_ndarray(shown.image, format="rgb24")))
            lines += _lines(number, shown)
        sink.mux(stream.encode(None))
    save_text(folder / "gt.txt", "".join(lines))
    save_text(folder / "labels.txt", "\n".join(CLASSES) + "\n")
    return path


def _lines(number: int, shown: Shown) -> Iterator[str]:
    limits = np.tile(np.array(SIZE, dtype=np.float64), 2)
    for track, label, box in zip(shown.tracks.tolist(), shown.labels.tolist(), shown.boxes, strict=True):
        inside = np.clip(box, 0, limits)
        sides, whole = inside[2:] - inside[:2], float(np.prod(box[2:] - box[:2]))
        share = float(np.prod(np.maximum(sides, 0))) / whole
        if share > 0:
            place = f"{inside[0] + 1:.2f},{inside[1] + 1:.2f},{sides[0]:.2f},{sides[1]:.2f}"
            yield f"{number},{track},{place},{int(share >= 0.5)},{label + 1},{share:.3f}\n"
