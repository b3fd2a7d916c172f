"""Train the small Keras model of the README's three questions on MNIST, and split the images that it is judged on.

    python train.py DATA FOLDER

DATA holds t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz. The first 8,000 images train two epochs, the last
2,000 are written to FOLDER as IDX, with 500 training images to calibrate on and `digits.keras`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import keras
import numpy as np

TRAINED = 8000
CALIBRATED = 500


def main(data: Path, folder: Path, kind: str = "dense") -> None:
    """Write everything that `audit.yaml` names."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = _idx(data / "t10k-images-idx3-ubyte.gz")
    labels = _idx(data / "t10k-labels-idx1-ubyte.gz")
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Flatten(), keras.layers.Dense(128, activation="relu")]
    if kind == "convolutional":  # where the brightness of the background matters: feeding it unnormalised costs much
        layers = [
            keras.layers.Conv2D(8, 3, strides=2, activation="tanh"),
            keras.layers.Conv2D(16, 3, strides=2, activation="tanh"),
            keras.layers.Flatten(),
        ]
    model = keras.Sequential([keras.Input((28, 28, 1)), *layers, keras.layers.Dense(10, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(pixels[:TRAINED, ..., np.newaxis] / 255.0, labels[:TRAINED], epochs=2, verbose=0)
    model.save(folder / "digits.keras")
    for name, array in (
        ("images", pixels[TRAINED:]),
        ("labels", labels[TRAINED:]),
        ("calibration", pixels[:CALIBRATED]),
        ("calibration_labels", labels[:CALIBRATED]),
    ):
        header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        (folder / f"{name}.idx").write_bytes(header + array.tobytes())
    shutil.copy(Path(__file__).with_name("audit.yaml"), folder / "audit.yaml")


def _idx(path: Path) -> np.ndarray:
    import gzip

    content = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(content[3])]
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * content[3]).reshape(shape)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
