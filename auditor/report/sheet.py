"""The contact sheet of `auditor scenarios preview`: one image at every severity of every scenario of a pack."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor.report.frame import render_page

__all__ = ["psnr", "render_sheet", "ssim"]

Image = NDArray[np.uint8]


def render_sheet(title: str, image: Image, rows: Sequence[tuple[dict[str, str], Sequence[tuple[str, Image]]]]) -> str:
    """Render the sheet: `rows` holds a scenario's name, about and unit, and its images with a caption by severity.

    Images are shown at most 320 pixels wide; PSNR and SSIM are of the full images against the original.
    """
    shown = [
        (
            about,
            [
                {"caption": caption, "psnr": psnr(image, seen), "ssim": ssim(image, seen), "source": _embedded(seen)}
                for caption, seen in images
            ],
        )
        for about, images in rows
    ]
    return render_page(
        "sheet.html.j2",
        title=title,
        chip="contact sheet",
        kind="not-judged",
        nav=[(about["key"].replace("/", "-"), about["key"]) for about, _ in shown],
        original=_embedded(image),
        size=f"{image.shape[1]} × {image.shape[0]}",
        rows=shown,
    )


def psnr(first: Image, second: Image) -> float | None:
    """Peak signal-to-noise ratio in dB of two 8-bit images; None where they are equal."""
    return None if np.array_equal(first, second) else float(cv2.PSNR(first, second))


def ssim(first: Image, second: Image) -> float:
    """Mean structural similarity of the luma of two RGB images, with an 11-pixel Gaussian window of deviation 1.5.

    Source: Wang et al. 2004, https://doi.org/10.1109/TIP.2003.819861 (K1 = 0.01, K2 = 0.03, L = 255).
    """
    x, y = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64) for image in (first, second))

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5))

    mean_x, mean_y = mean(x), mean(y)
    variance_x, variance_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (
        (2 * mean_x * mean_y + c1)
        * (2 * covariance + c2)
        / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
    )
    return float(similarity.mean())


def _embedded(image: Image) -> str:
    width = min(320, image.shape[1])
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    small = image if width == image.shape[1] else cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
