"""Write Keras and SavedModel sources, in a process of its own: TensorFlow's warnings and threads stay out of the
tests."""

from __future__ import annotations

import sys
from pathlib import Path


def cells_detector():
    """A detector of bright 8 × 8 cells in a 64 × 64 image: (1, 5, 64) cx, cy, w, h in input pixels and a score."""
    import keras
    import numpy as np
    import tensorflow as tf

    grid = (np.mgrid[0:8, 0:8].reshape(2, -1).T[:, ::-1] * 8 + 4).astype("float32")
    boxes = np.concatenate([grid, np.full_like(grid, 8.0)], axis=1)

    class Boxes(keras.layers.Layer):
        def call(self, scores):
            fixed = tf.tile(tf.constant(boxes.T[np.newaxis]), [tf.shape(scores)[0], 1, 1])
            return tf.concat([fixed, scores], axis=1)

    image = keras.Input((64, 64, 3))
    bright = keras.layers.AveragePooling2D(8)(image)
    scores = keras.layers.Conv2D(1, 1, kernel_initializer=keras.initializers.Constant(1 / 3), activation="relu")(bright)
    return keras.Model(image, Boxes()(keras.layers.Reshape((1, 64))(scores)))


def needs_flex():
    """A module with an op that TFLite has no kernel for."""
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 32, 32, 3], tf.float32)])
        def __call__(self, image):
            return {"out": tf.math.erfinv(image[:, :5, :16, 0] / 2)}

    return Module()


def counts():
    """A module whose scores grow with every image it meets."""
    import tensorflow as tf

    class Module(tf.Module):
        def __init__(self):
            self.met = tf.Variable(0.0)

        @tf.function(input_signature=[tf.TensorSpec([1, 32, 32, 3], tf.float32)])
        def __call__(self, image):
            self.met.assign_add(1.0)
            return {"out": tf.reduce_mean(image, axis=[1, 2]) * self.met}

    return Module()


def main(folder: Path) -> None:
    """Write `detector/` (SavedModel), `detector.keras`, `unserved/`, `flex/` and `counts/`."""
    import keras
    import tensorflow as tf

    model = cells_detector()
    model.export(folder / "detector", verbose=False)
    flex = needs_flex()
    tf.saved_model.save(flex, str(folder / "flex"), signatures=flex.__call__.get_concrete_function())
    counting = counts()
    tf.saved_model.save(counting, str(folder / "counts"), signatures=counting.__call__.get_concrete_function())
    tf.saved_model.save(tf.Module(), str(folder / "unserved"))
    image = keras.Input((64, 64, 3))
    bright = keras.layers.AveragePooling2D(8)(image)
    scores = keras.layers.Conv2D(1, 1, kernel_initializer=keras.initializers.Constant(1 / 3))(bright)
    flat = keras.layers.Reshape((64, 1))(scores)
    wide = keras.layers.Dense(5, kernel_initializer="ones")(flat)
    keras.Model(image, keras.layers.Permute((2, 1))(wide)).save(folder / "plain.keras")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
