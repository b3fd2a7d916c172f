"""Train the demo's detector on rendered scenes: `python -m auditor.demo.train --output DIR`.

Needs `tensorflow`, `tf_keras` and `opencv-python-headless`; nothing in the package imports it. The network is a small
anchor-free detector (two strides, 8 and 16) whose file has one output (1, 4 + classes, N): centre x, centre y, width,
height, all divided by the input size, then class scores, the layout of the YOLOv8 head.

Training scenes have seeds from `TRAIN_SEED` on; the audit draws other seeds. There is no augmentation but mirroring, so
the detector has never seen noise, blur or bad light: what that costs is what the demo shows.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf
import tf_keras as keras
from numpy.typing import NDArray

from auditor.demo.scenes import CLASSES, render_scene
from auditor.encoding import encode
from auditor.values import InputContract

INPUT = 160
STRIDES = (8, 16)
REACH = 6  # a side of a box lies at most this many strides from its cell's centre
TRAIN_SEED = 1_000_000
MOST_OBJECTS = 8
CONTRACT = InputContract(height=INPUT, width=INPUT, resize="letterbox", dtype="float32", std=(255.0,))


def load_scenes(count: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Render `count` training scenes: (count, INPUT, INPUT, 3) uint8, and (count, MOST_OBJECTS, 5) of xyxy input pixels
    and label, label -1 where there is no object."""
    pixels = InputContract(height=INPUT, width=INPUT, resize="letterbox", dtype="uint8")
    images = np.zeros((count, INPUT, INPUT, 3), dtype=np.uint8)
    objects = np.full((count, MOST_OBJECTS, 5), -1, dtype=np.float32)
    for index in range(count):
        image, truth = render_scene(TRAIN_SEED + index)
        tensor, geometry = encode(image, pixels)
        images[index] = tensor[0]
        scale, offset = np.array(geometry.scale * 2), np.array(geometry.offset * 2)
        objects[index, : len(truth.labels), :4] = truth.boxes * scale + offset
        objects[index, : len(truth.labels), 4] = truth.labels
    return images, objects


def cells() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The centres (N, 2) and strides (N, 1) of all cells, in input pixels, stride 8 first."""
    centres, strides = [], []
    for stride in STRIDES:
        side = INPUT // stride
        ys, xs = np.mgrid[:side, :side]
        centres.append((np.stack([xs, ys], axis=-1).reshape(-1, 2) + 0.5) * stride)
        strides.append(np.full((side * side, 1), stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(strides).astype(np.float32)


def build_network() -> keras.Model:
    """The trainable network: (INPUT, INPUT, 3) in [0, 1] to (N, 4 + classes), distances over REACH and scores, both in
    [0, 1]."""

    def block(x: Any, filters: int, stride: int = 1) -> Any:
        x = keras.layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
        return keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))

    image = keras.Input((INPUT, INPUT, 3))
    x = block(block(image, 12, 2), 24, 2)
    x = block(block(x, 24), 40, 2)
    fine = block(block(x, 40), 40)
    coarse = block(block(block(fine, 48, 2), 48), 48)
    up = keras.layers.UpSampling2D(interpolation="nearest")(block(coarse, 32))
    fine = block(keras.layers.Concatenate()([fine, up]), 40)
    outputs = []
    for level in (fine, coarse):
        box = keras.layers.Conv2D(4, 1)(block(level, 32))
        # scores start near 0.01, so that the many empty cells do not drown the first steps
        score = keras.layers.Conv2D(len(CLASSES), 1, bias_initializer=keras.initializers.Constant(-4.6))(
            block(level, 32)
        )
        joined = keras.layers.Activation("sigmoid")(keras.layers.Concatenate()([box, score]))
        outputs.append(keras.layers.Reshape((-1, 4 + len(CLASSES)))(joined))
    return keras.Model(image, keras.layers.Concatenate(axis=1)(outputs))


def boxes_of(raw: Any) -> Any:
    """Turn distances (…, N, 4) in [0, 1] (left, top, right, bottom over REACH strides) into xyxy input pixels."""
    centres, strides = cells()
    reach = raw * (strides * REACH)
    return tf.concat([centres - reach[..., :2], centres + reach[..., 2:]], axis=-1)


def assign(objects: Any) -> tuple[Any, Any, Any]:
    """Give each cell its object: (B, N, 4) boxes, (B, N) labels, (B, N) whether it has one.

    A cell takes the smallest object whose box holds its centre, whose centre lies within 1.5 strides and whose longer
    side suits its stride.
    """
    centres, strides = cells()
    box = objects[:, None, :, :4]
    offset = tf.concat([centres[None, :, None] - box[..., :2], box[..., 2:] - centres[None, :, None]], axis=-1)
    middle = (box[..., :2] + box[..., 2:]) / 2
    near = tf.reduce_all(tf.abs(middle - centres[None, :, None]) < 1.5 * strides[None, :, None], axis=-1)
    side = tf.reduce_max(box[..., 2:] - box[..., :2], axis=-1)
    fits = tf.where(strides[None] == STRIDES[0], side < 36.0, side > 26.0)
    good = near & fits & (tf.reduce_min(offset, axis=-1) > 0) & (objects[:, None, :, 4] >= 0)
    size = tf.where(good, tf.reduce_prod(box[..., 2:] - box[..., :2], axis=-1), 1e9)
    chosen = tf.argmin(size, axis=-1)
    own = tf.gather(objects, chosen, batch_dims=1)
    return own[..., :4], tf.cast(own[..., 4], tf.int32), tf.reduce_any(good, axis=-1)


def giou(a: Any, b: Any) -> tuple[Any, Any]:
    """IoU and generalized IoU of paired xyxy boxes. Source: Rezatofighi et al. 2019, arXiv:1902.09630."""
    low, high = tf.maximum(a[..., :2], b[..., :2]), tf.minimum(a[..., 2:], b[..., 2:])
    overlap = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=-1)
    union = (
        tf.reduce_prod(a[..., 2:] - a[..., :2], axis=-1) + tf.reduce_prod(b[..., 2:] - b[..., :2], axis=-1) - overlap
    )
    hull = tf.reduce_prod(tf.maximum(a[..., 2:], b[..., 2:]) - tf.minimum(a[..., :2], b[..., :2]), axis=-1)
    iou = overlap / (union + 1e-6)
    return iou, iou - (hull - union) / (hull + 1e-6)


def loss_of(output: Any, objects: Any) -> Any:
    """Quality focal loss on the scores (target: the IoU reached; Li et al. 2020, arXiv:2006.04388) + GIoU loss."""
    boxes, labels, positive = assign(objects)
    weight = tf.cast(positive, tf.float32)
    iou, generalized = giou(boxes_of(output[..., :4]), boxes)
    count = tf.maximum(tf.reduce_sum(weight), 1.0)
    target = tf.one_hot(labels, len(CLASSES)) * (tf.stop_gradient(iou) * weight)[..., None]
    score = tf.clip_by_value(output[..., 4:], 1e-6, 1 - 1e-6)
    entropy = -(target * tf.math.log(score) + (1 - target) * tf.math.log(1 - score))
    focus = tf.reduce_sum(tf.square(tf.abs(target - score)) * entropy)
    return (focus + 2.0 * tf.reduce_sum((1 - generalized) * weight)) / count


def train(
    network: Any, data: tuple[NDArray[np.uint8], NDArray[np.float32]], *, epochs: int, rate: float, batch: int = 32
) -> None:
    """Train `network` in place with Adam and a cosine schedule; every other picture is mirrored."""
    images, objects = data
    steps = epochs * (len(images) // batch)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps, warmup_target=None)
    optimizer = keras.optimizers.Adam(schedule)

    @tf.function
    def step(pixels: Any, truth: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(network(tf.cast(pixels, tf.float32) / 255.0, training=True), truth)
        gradients = tape.gradient(loss, network.trainable_variables)
        gradients, _ = tf.clip_by_global_norm(gradients, 10.0)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return loss

    rng = np.random.default_rng(0)
    for epoch in range(epochs):
        order = rng.permutation(len(images))
        losses = []
        for start in range(0, len(order) - batch + 1, batch):
            chosen = np.sort(order[start : start + batch])
            pixels, truth = images[chosen], objects[chosen].copy()
            if rng.random() < 0.5:
                pixels = pixels[:, :, ::-1]
                real = truth[..., 4] >= 0
                truth[..., [0, 2]] = np.where(real[..., None], INPUT - truth[..., [2, 0]], -1)
            losses.append(float(step(pixels, truth)))
        print(f"epoch {epoch + 1}/{epochs}: loss {np.mean(losses):.4f}", flush=True)


def exported(network: Any) -> keras.Model:
    """The network with its head decoded: output (1, 4 + classes, N), boxes as cxcywh over the input size."""
    image = keras.Input((INPUT, INPUT, 3), batch_size=1, name="image")
    raw = network(image)
    centres, strides = cells()
    reach = raw[..., :4] * (strides * REACH / INPUT)
    left_top, right_bottom = reach[..., :2], reach[..., 2:]
    middle = centres / INPUT + (right_bottom - left_top) * 0.5
    joined = tf.concat([middle, left_top + right_bottom, raw[..., 4:]], axis=-1)
    return keras.Model(image, tf.transpose(joined, [0, 2, 1]))


def quantization_aware(network: Any, data: tuple[NDArray[np.uint8], NDArray[np.float32]], *, epochs: int) -> Any:
    """A copy of `network` with 8-bit quantization in the loop, trained on for a few epochs."""
    import tensorflow_model_optimization as tfmot

    aware = tfmot.quantization.keras.quantize_model(network)
    train(aware, data, epochs=epochs, rate=2e-4)
    return aware


def convert(network: Any, level: str, images: NDArray[np.uint8]) -> bytes:
    """Convert to one quantization level; integer levels are calibrated on training scenes. Inputs and outputs stay
    float."""
    converter = tf.lite.TFLiteConverter.from_keras_model(exported(network))
    if level != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if level == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if level in ("int8", "int16x8"):
        converter.representative_dataset = lambda: ([image[None].astype(np.float32) / 255.0] for image in images[:200])
        kinds = {
            "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            "int16x8": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
        }
        converter.target_spec.supported_ops = [kinds[level]]
    return bytes(converter.convert())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo's detector and make its quantization levels.")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=8000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--aware-epochs", type=int, default=6, help="epochs with quantization in the loop")
    parser.add_argument("--weights", type=Path, help="start from these weights and skip the float training")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    data = load_scenes(arguments.scenes)
    network = build_network()
    network.summary()
    if arguments.weights:
        network.load_weights(arguments.weights)
    else:
        train(network, data, epochs=arguments.epochs, rate=2e-3)
        network.save_weights(arguments.output / "detector.weights.h5")
    for level in ("float32", "float16", "dynamic", "int8", "int16x8"):
        (arguments.output / f"detector_{level}.tflite").write_bytes(convert(network, level, data[0]))
    aware = quantization_aware(network, data, epochs=arguments.aware_epochs)
    (arguments.output / "detector_int8_qat.tflite").write_bytes(convert(aware, "int8_qat", data[0]))


if __name__ == "__main__":
    main()
