"""Record what imagecorruptions does to the pictures of `corruption_images`, in an environment of its own:

    python3.10 -m venv ic && ic/bin/pip install "numpy<1.24" "scipy<1.11" scikit-image==0.19.3 imagecorruptions==1.1.2 \
        "opencv-python-headless<4.9" "setuptools<80"
    cd tests/reference && ../../ic/bin/python record_common_corruptions.py > ../golden/common_corruptions.json
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import numpy as np
from corruption_images import pictures

DRAWS = 4
MANY = 40
"""Draws of what is alike over a whole picture, so that each is another; glass, at seconds each, has one."""
OF_MANY = ("fog", "frost", "motion_blur", "snow", "spatter")


def draws_of(name: str) -> int:
    """How often a corruption is drawn."""
    return MANY if name in OF_MANY else DRAWS


def statistics(image: np.ndarray, seen: np.ndarray) -> list[float]:
    """PSNR in dB, mean and standard deviation of the differences in 8-bit levels."""
    apart = seen.astype(np.float64) - image
    return [float(10 * np.log10(255**2 / max((apart**2).mean(), 1e-9))), float(apart.mean()), float(apart.std())]


def main() -> None:
    """Print, by corruption and severity, the mean statistics over pictures and draws, and the seconds of one."""
    warnings.simplefilter("ignore")
    from imagecorruptions import corrupt, get_corruption_names

    found: dict[str, list[dict[str, float]]] = {}
    for name in sys.argv[1:] or get_corruption_names("all"):
        found[name] = []
        for severity in range(1, 6):
            rows, begin, count = [], time.perf_counter(), 0
            for image in pictures():
                for draw in range(1 if name == "glass_blur" else draws_of(name)):
                    np.random.seed(1000 * count + draw)  # noqa: NPY002 (theirs draws from it)
                    count += 1
                    rows.append(statistics(image, corrupt(image, corruption_name=name, severity=severity)))
            psnr, mean, std = np.mean(rows, axis=0)
            spent = (time.perf_counter() - begin) / count
            found[name].append({"psnr": psnr, "mean": mean, "std": std, "seconds": spent})
            print(name, severity, found[name][-1], file=sys.stderr)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
