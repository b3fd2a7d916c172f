"""Pictures to corrupt, drawn by numpy and OpenCV alone, so that another environment draws the same."""

from __future__ import annotations

import cv2
import numpy as np

SIZES = ((480, 640), (360, 500), (427, 640))


def pictures() -> list[np.ndarray]:
    """Three pictures with the spectrum of photographs (about 1/f), shapes with edges, and dark and bright parts; (H, W,
    3) uint8 RGB."""
    return [_picture(number, size) for number, size in enumerate(SIZES)]


def _picture(number: int, size: tuple[int, int]) -> np.ndarray:
    rng = np.random.RandomState(number)
    height, width = size
    image = np.zeros((height, width, 3), dtype=np.float64)
    for octave in range(1, 9):
        cells = 2**octave
        small = rng.normal(size=(cells * height // width + 2, cells + 2, 3)) * 46 / 1.5**octave
        image += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    image += 96 + 30 * number + np.linspace(-40, 40, width)[np.newaxis, :, np.newaxis]
    picture = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(14):
        middle = (int(rng.randint(width)), int(rng.randint(height)))
        color = tuple(int(value) for value in rng.randint(0, 256, 3))
        cv2.circle(picture, middle, int(rng.randint(8, 70)), color, -1 if rng.rand() < 0.6 else 3)
    return picture
