"""Frames of a video file, by PyAV: which there are, and any of them as RGB."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import DataError
from auditor.values.srgb import linear_of

__all__ = ["Clip", "Frame", "darker_than_mean", "read_clip", "read_frame"]

_NEAR = 64
"""Frames that are decoded to get to a later one rather than sought: most clips have no key frame oftener."""
_CLIPS = 2
"""Clips that are kept open."""


@dataclass(frozen=True)
class Frame:
    """One frame of a clip: `time_s` after its first, `pts` as the file says it, `size` (width, height) as it is shown,
    and its mean `light`, of white."""

    time_s: float
    pts: int
    size: tuple[int, int]
    light: float


@dataclass(frozen=True)
class Clip:
    """The frames of a video in the order in which they are shown; `damaged` packets gave none, the first with frames
    after it after so many (`torn_after`, None where there is none such); `interlaced` frames hold lines of two moments;
    `promised` is how many frames the file says that it has; `turned` by how many degrees they are shown."""

    frames: tuple[Frame, ...]
    codec: str
    damaged: int
    interlaced: int
    torn_after: int | None = None
    promised: int = 0
    turned: int = 0


def read_clip(path: Path) -> Clip:
    """Decode a video once, and tell what frames it has; a file's own count and rate are often wrong.

    Raises:
        DataError: PyAV is not installed, or the file is missing, is no video, or has no frame that can be decoded.
    """
    frames: list[Frame] = []
    damaged = interlaced = turned = 0
    tears: list[int] = []
    with _opened(path) as container:
        stream = container.streams.video[0]
        for decoded, error in _decoded(container, stream):
            damaged += error
            tears += [len(frames)] * error
            for frame in decoded:
                if frame.pts is None:
                    raise DataError(f"{path}: a frame says no time; write the clip anew: ffmpeg -i {path.name} new.mp4")
                interlaced += frame.interlaced_frame
                turned = round(frame.rotation) % 360
                size = (frame.height, frame.width) if turned % 180 else (frame.width, frame.height)
                frames.append(Frame(float(frame.pts * stream.time_base), frame.pts, size, _light(frame)))
        codec, promised = stream.codec_context.name, _promised(container, stream, frames)
    if not frames:
        raise DataError(f"{path}: no frame of it can be decoded ({codec}, {damaged} damaged packets)")
    if any(after.pts <= before.pts for before, after in itertools.pairwise(frames)):
        raise DataError(f"{path}: its frames' times do not rise; write the clip anew: ffmpeg -i {path.name} new.mp4")
    start = frames[0].time_s
    shifted = tuple(dataclasses.replace(frame, time_s=frame.time_s - start) for frame in frames)
    torn = next((count for count in tears if count < len(frames)), None)
    return Clip(shifted, codec, damaged, interlaced, torn, promised, turned)


def _light(frame: Any) -> float:
    """The mean light of a frame, of white, by a small gray copy."""
    return float(linear_of(frame.reformat(width=32, height=24, format="gray").to_ndarray() / 255).mean())


def darker_than_mean(frames: Sequence[Frame]) -> list[float]:
    """By which factor the scene up to each frame is darker than the clip's mean light: light is smoothed over half a
    second, as an automatic gain takes to follow. A median would jump where half of a clip is dark."""
    usual = max(float(np.mean([frame.light for frame in frames])), _DARK)
    found, seen, before = [], frames[0].light, frames[0].time_s
    for frame in frames:
        seen += (frame.light - seen) * (1 - math.exp(-(frame.time_s - before) / _FOLLOWS_S))
        before = frame.time_s
        found.append(round(usual / max(seen, _DARK), 4))
    return found


_FOLLOWS_S = 0.5
"""The time constant of an automatic gain, in which it has made up 63 % of a change; by us, of the order of cameras'."""
_DARK = 1e-3
"""Light, of white, below which no scene is: about three levels of 8 bits, where only noise is left."""


def _promised(container: Any, stream: Any, frames: Sequence[Frame]) -> int:
    """How many frames a file says that it has: by its index, else by its length and rate, where most of them come at
    that rate; 0 where it says neither."""
    said = int(stream.frames)
    if said or not container.duration or not stream.average_rate or len(frames) < 2:
        return said
    rate = float(stream.average_rate)
    usual = float(np.median(np.diff([frame.time_s for frame in frames])))
    return int(container.duration / 1e6 * rate + 0.5) if 0.8 < usual * rate < 1.25 else 0


def read_frame(path: Path, pts: int, *, turn: bool = True) -> NDArray[np.uint8]:
    """Return the frame that is shown at `pts`, in the time base of its stream, as (H, W, 3) uint8 RGB; turned as the
    file says, unless not `turn`. Frames that are asked for in their order are decoded once each.

    Raises:
        DataError: there is none, or it cannot be decoded.
    """
    frame = _reader(path).at(pts)
    image = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) if turn else 0
    return np.ascontiguousarray(np.rot90(image, turns), dtype=np.uint8)


class _Reader:
    """A clip that is open at some frame."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames: Iterator[Any] = iter(())
        self._last: Any = None
        self._container: Any = None

    def at(self, pts: int) -> Any:
        """The frame of a time: decoded on to, or sought."""
        if self._last is not None and self._last.pts == pts:
            return self._last
        if self._last is None or self._last.pts > pts or (frame := self._within(pts, _NEAR)) is None:
            self._seek(pts)
            frame = self._within(pts, None)
        if frame is None:
            self._seek(None)  # what an index of the file says wrongly, decoding from the start does not
            frame = self._within(pts, None)
        if frame is None:
            raise DataError(f"{self._path}: no frame is shown at {pts} any more; the file is another than it was")
        return frame

    def _within(self, pts: int, most: int | None) -> Any:
        """The frame of a time among the next `most`, None where it is not there."""
        for number, frame in enumerate(self._frames):
            self._last = frame
            if frame.pts == pts:
                return frame
            if frame.pts > pts or number == most:
                return None
        return None

    def _seek(self, pts: int | None) -> None:
        """Go to the key frame before a time, or to the start."""
        if self._container is not None:
            self._container.close()
        self._last = None
        self._container = _open(self._path)
        stream = self._container.streams.video[0]
        if pts is not None:
            self._container.seek(pts, stream=stream, backward=True)
        self._frames = (frame for decoded, _ in _decoded(self._container, stream) for frame in decoded)


@functools.lru_cache(maxsize=_CLIPS)
def _reader(path: Path) -> _Reader:
    return _Reader(path)


def _decoded(container: Any, stream: Any) -> Iterator[tuple[list[Any], int]]:
    """The frames of each packet, and whether it is damaged: those after it are read all the same."""
    import av

    damage = av.error.FFmpegError  # a name of its own: what is read to no end is closed when modules are gone
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except damage:
            yield [], 1
        else:
            yield frames, 0


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    container = _open(path)
    try:
        yield container
    finally:
        container.close()


def _open(path: Path) -> Any:
    try:
        import av
    except ImportError as error:
        raise DataError(
            f'{path}: videos are read by PyAV, which is not installed: pip install "tflite-auditor[video]"'
        ) from error
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise DataError(
            f"{path}: not a video that PyAV can read ({getattr(error, 'strerror', error)}); is it another file, or cut "
            f"before its end? `ffmpeg -i {path.name}` says more"
        ) from error
    if not container.streams.video:
        container.close()
        raise DataError(f"{path}: it holds no video, only sound or text")
    name = container.format.name
    if name in _NO_CLIPS or name.endswith("_pipe"):
        container.close()
        raise DataError(
            f"{path}: no video, but {'text' if name == 'tty' else 'a single image'}; give the file of a clip"
        )
    return container


_NO_CLIPS = ("tty", "image2")
"""What FFmpeg opens as a video too; its readers of single images else end in `_pipe`."""
