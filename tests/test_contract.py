"""The input contract: pixels in, tensor and geometry out, by hand."""

import numpy as np
import pytest

from auditor.encoding import dequantize, encode, quantize
from auditor.values import InputContract


def picture(height=30, width=40):
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_stretch_maps_both_axes_by_themselves():
    tensor, geometry = encode(picture(), InputContract(height=60, width=20))
    assert tensor.shape == (1, 60, 20, 3)
    assert tensor.dtype == np.float32
    assert geometry.to_original(np.array([[0.0, 0.0, 20.0, 60.0]])).tolist() == [[0, 0, 40, 30]]


@pytest.mark.parametrize(("anchor", "top"), [("center", 5), ("top_left", 0)])
def test_letterbox_pads_and_maps_back(anchor, top):
    image = picture()
    contract = InputContract(height=40, width=40, resize="letterbox", anchor=anchor, pad=114)
    tensor, geometry = encode(image, contract)
    assert (tensor[0, top : top + 30] == image).all()
    assert (np.delete(tensor[0], np.s_[top : top + 30], axis=0) == 114).all()
    assert geometry.to_original(np.array([[0.0, float(top), 40.0, top + 30.0]])).tolist() == [[0, 0, 40, 30]]


@pytest.mark.parametrize(("rounding", "rows"), [("round", 14), ("floor", 13)])
def test_rounding_of_the_letterboxed_size(rounding, rows):
    image = np.full((27, 40, 3), 9, dtype=np.uint8)  # 27 × 20 / 40 = 13.5
    tensor, _ = encode(
        image, InputContract(height=20, width=20, resize="letterbox", anchor="top_left", rounding=rounding, pad=0)
    )
    assert int((tensor[0, :, 0, 0] == 9).sum()) == rows


@pytest.mark.parametrize("shape", [(30, 40), (40, 30), (31, 57)])
def test_crop_covers_the_input_from_the_middle(shape):
    image = np.full((*shape, 3), 7, dtype=np.uint8)
    tensor, geometry = encode(image, InputContract(height=20, width=20, resize="crop"))
    assert tensor.shape == (1, 20, 20, 3)
    assert (tensor == 7).all()
    centre = geometry.to_original(np.array([[10.0, 10.0, 10.0, 10.0]]))[0, :2]
    assert centre == pytest.approx([shape[1] / 2, shape[0] / 2], abs=1.5)


def test_colour_order_layout_and_normalisation():
    image = picture(8, 8)
    contract = InputContract(height=8, width=8, layout="nchw", color="bgr", mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0))
    tensor, _ = encode(image, contract)
    assert tensor.shape == (1, 3, 8, 8)
    blue, red = image[..., 2].astype(np.float32), image[..., 0].astype(np.float32)
    assert np.allclose(tensor[0, 0], (blue - 1) / 2)
    assert np.allclose(tensor[0, 2], (red - 3) / 8)


def test_grey_input_has_one_channel():
    image = np.full((8, 8, 3), 100, dtype=np.uint8)
    tensor, _ = encode(image, InputContract(height=8, width=8, color="gray", dtype="uint8"))
    assert tensor.shape == (1, 8, 8, 1)
    assert (tensor == 100).all()


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point", "mean", "std"),
    [
        ("uint8", 1 / 255, 0, 0.0, 255.0),
        ("int8", 1 / 255, -128, 0.0, 255.0),
        ("uint8", 0.0078125, 128, 128.0, 128.0),
        ("int8", 0.00784, -1, 127.0, 127.5510),
    ],
)
def test_integer_inputs_can_take_the_pixels_as_they_are(dtype, scale, zero_point, mean, std):
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    contract = InputContract(
        height=16, width=16, dtype=dtype, scale=scale, zero_point=zero_point, mean=(mean,), std=(std,)
    )
    tensor, _ = encode(image, contract)
    assert (tensor[0].astype(int) + (128 if dtype == "int8" else 0) == image).all()


def test_quantizing_clips_before_it_casts():
    assert quantize(np.array([-1.0, 0.5, 400.0]), "uint8", scale=1.0, zero_point=0).tolist() == [0, 0, 255]
    assert quantize(np.array([-200.0, 200.0]), "int8", scale=1.0, zero_point=0).tolist() == [-128, 127]
    assert dequantize(np.array([0, 255], dtype=np.uint8), scale=0.5, zero_point=128).tolist() == [-64, 63.5]


def test_what_is_not_an_image_is_a_value_error():
    with pytest.raises(ValueError, match="expected an"):
        encode(np.zeros((4, 4)), InputContract(height=4, width=4))
    with pytest.raises(ValueError, match="resize"):
        encode(picture(), InputContract(height=4, width=4, resize="squeeze"))
