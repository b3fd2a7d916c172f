"""What processing, coding and transmission do: colour noise smoothed, fewer lines, and real H.264 by PyAV."""

from __future__ import annotations

import io
from typing import Annotated, Any

import cv2
import numpy as np
from annotated_types import Ge, Gt, Le

from auditor.corruptions.builtin import Image, NotNegative, Positive, downscale
from auditor.errors import ScenarioError

__all__ = ["fewer_lines", "h264", "smooth_colour"]


def smooth_colour(image: Image, *, rng: np.random.Generator, sigma: NotNegative = 0.7) -> Image:
    """Smooth colour, and leave brightness as it is, as a camera does against noise, of which the eye sees that of
    colours first: a Gaussian of `sigma` pixels on the two differences of colour.

    Source: ITU-R BT.601 (the differences). 0.7 is by us: in flat dark parts of photographs of COCO the noise of red and
    green correlates by 0.57 to 0.74, which independent noise comes to by this.
    """
    apart = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))
    if sigma > 0:
        apart[..., 1:] = cv2.GaussianBlur(apart[..., 1:], (0, 0), sigma)
    return np.asarray(cv2.cvtColor(apart, cv2.COLOR_YCrCb2RGB), dtype=np.uint8)


def fewer_lines(
    image: Image, *, rng: np.random.Generator, lines: Annotated[float, Gt(0)], of: Positive = 1080.0
) -> Image:
    """The picture of a stream of so many lines, where this one is taken to be of a camera of `of` lines, whatever its
    own size: 720 (HD), 576 (4CIF), 480 (VGA), 288 (CIF), 144 (QCIF).

    Source: ITU-T H.261 (CIF and QCIF), SMPTE ST 296 (720 lines).
    """
    return downscale(image, rng=rng, factor=max(1.0, of / lines))


_FRAMES = 4
"""The last frame of so many is taken: the first is coded alone, the others from those before them, as most of a stream
are."""


def h264(image: Image, *, rng: np.random.Generator, qp: Annotated[float, Ge(0), Le(51)]) -> Image:
    """The last of four frames of a real H.264 stream with so large a quantization parameter, 0 to 51; the scene moves
    by a pixel a frame.

    Source: ITU-T H.264 (8.3 and 8.4: a step of 6 doubles the quantizer), coded by x264 through PyAV.

    Raises:
        ScenarioError: PyAV, or an encoder of it, is not installed.
    """
    av = _pyav()
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, height % 2), (0, width % 2 + 2 * _FRAMES), (0, 0)), mode="edge")
    wide = width + width % 2
    stream = io.BytesIO()
    with av.open(stream, "w", format="h264") as sink:
        coder = sink.add_stream("libx264", rate=25, options=_OPTIONS | {"qp": f"{qp:.0f}"})
        coder.width, coder.height, coder.pix_fmt = wide, height + height % 2, "yuv420p"
        for number in range(_FRAMES):
            move = _FRAMES - 1 - number
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded[:, move : move + wide]), format="rgb24")
            sink.mux(coder.encode(frame))
        sink.mux(coder.encode(None))
    stream.seek(0)
    with av.open(stream, format="h264") as source:
        frames = list(source.decode(video=0))
    return np.asarray(frames[-1].to_ndarray(format="rgb24")[:height, :width], dtype=np.uint8)


_OPTIONS = {"preset": "veryfast", "tune": "zerolatency", "bf": "0", "threads": "1", "x264-params": "scenecut=0"}


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise ScenarioError(
            'h264 codes by PyAV, which is not installed: pip install "tflite-auditor[video]", or leave its scenario out'
        ) from error
    if "libx264" not in av.codecs_available:
        raise ScenarioError("h264: this PyAV has no libx264; install the wheel of PyPI: pip install av")
    return av
