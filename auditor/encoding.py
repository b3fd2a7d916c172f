"""The input contract at work: an RGB image becomes the model's input tensor and the geometry that maps boxes back."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from auditor.values import Geometry, InputContract, Tiles

__all__ = ["dequantize", "encode", "encode_parts", "geometry_of", "input_scale", "quantize", "tile_places"]

_KERNELS = {
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST,
    "cubic": cv2.INTER_CUBIC,
}


def encode(image: NDArray[np.uint8], contract: InputContract) -> tuple[NDArray[Any], Geometry]:
    """Encode an (H, W, 3) uint8 RGB image as the (1, h, w, c), (1, c, h, w) or (1, h, w) tensor that `contract`
    describes.

    Raises:
        ValueError: the image is not (H, W, 3) uint8, or the contract has an unknown value.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected an (H, W, 3) uint8 image but got {image.shape} {image.dtype}")
    placed, geometry = _place(image, contract)
    if contract.color == "bgr":
        placed = np.asarray(cv2.cvtColor(placed, cv2.COLOR_RGB2BGR), dtype=np.uint8)
    elif contract.color == "gray":
        placed = np.asarray(cv2.cvtColor(placed, cv2.COLOR_RGB2GRAY), dtype=np.uint8)[..., np.newaxis]
    elif contract.color != "rgb":
        raise ValueError(f"expected a colour order of rgb, bgr or gray but got {contract.color!r}")
    tensor = quantize(_real(placed, contract), contract.dtype, scale=contract.scale, zero_point=contract.zero_point)
    if contract.layout == "nchw":
        tensor = tensor.transpose(2, 0, 1)
    elif contract.layout == "nhw":
        tensor = tensor[..., 0]
    return np.ascontiguousarray(tensor[np.newaxis]), geometry


def encode_parts(image: NDArray[np.uint8], contract: InputContract) -> list[tuple[NDArray[Any], Geometry]]:
    """The tensors that an image is fed as, each with where its pixels landed: one, or one for each tile (and the whole
    picture first, where the contract asks for that)."""
    if contract.tiles is None:
        return [encode(image, contract)]
    parts = [encode(image, contract)] if contract.tiles.whole else []
    for left, top, right, bottom in tile_places((image.shape[1], image.shape[0]), contract.tiles):
        tensor, inside = encode(image[top:bottom, left:right], contract)
        offset = (inside.offset[0] - left * inside.scale[0], inside.offset[1] - top * inside.scale[1])
        parts.append((tensor, Geometry(inside.scale, offset)))
    return parts


def tile_places(size: tuple[int, int], tiles: Tiles) -> list[tuple[int, int, int, int]]:
    """Where the tiles of an image of (width, height) lie, row by row: left, top, right and bottom. Those at the right
    and lower edge are moved inwards rather than cut, and overlap the more.

    Source: Akyon, Altinuc and Temizel 2022, Slicing Aided Hyper Inference, arXiv:2202.06934, and the program SAHI.

    >>> tile_places((100, 60), Tiles((60, 60), overlap=0.2))
    [(0, 0, 60, 60), (40, 0, 100, 60)]
    """
    width, height = size
    places = []
    for top, bottom in _steps(height, tiles.size[0], tiles.overlap):
        places += [(left, top, right, bottom) for left, right in _steps(width, tiles.size[1], tiles.overlap)]
    return places


def _steps(length: int, side: int, overlap: float) -> list[tuple[int, int]]:
    """Where tiles of a side begin and end along a length."""
    found, begin = list[tuple[int, int]](), 0
    while True:
        end = begin + side
        found.append((max(0, min(end, length) - side), min(end, length)))
        if end >= length:
            return found
        begin = end - int(overlap * side)


def input_scale(size: tuple[int, int], contract: InputContract) -> tuple[float, float]:
    """By how much things on an image of (width, height) are scaled, across and down, in the model's input: in a tile,
    where it is fed in tiles."""
    if contract.tiles is not None:
        size = (min(size[0], contract.tiles.size[1]), min(size[1], contract.tiles.size[0]))
    return geometry_of(size, contract).scale


def quantize(real: NDArray[Any], dtype: str, *, scale: float, zero_point: int) -> NDArray[Any]:
    """Turn real values into `dtype`: for an integer type scale, round, clip to the type's range, then cast.

    A scale of 0 means that the tensor carries no quantization: real values are then rounded, clipped and cast.
    Source: https://ai.google.dev/edge/litert/models/quantization_spec (real = (q - zero_point) * scale).

    >>> quantize(np.array([-9.0, 0.0, 0.5, 9.0]), "uint8", scale=0.01, zero_point=10).tolist()
    [0, 10, 60, 255]
    """
    if not np.issubdtype(np.dtype(dtype), np.integer):
        return real.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    codes = real / scale + zero_point if scale else real
    return np.clip(np.rint(codes), limits.min, limits.max).astype(dtype)


def dequantize(
    codes: NDArray[Any], *, scale: NDArray[np.floating[Any]] | float, zero_point: NDArray[Any] | int
) -> NDArray[Any]:
    """Turn the integer codes of a quantized tensor into float32 real values: (q - zero_point) * scale.

    Source: https://ai.google.dev/edge/litert/models/quantization_spec
    """
    return (codes.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def geometry_of(size: tuple[int, int], contract: InputContract) -> Geometry:
    """Return where the pixels of an image of (width, height) land in the input that `contract` describes."""
    return _layout(size, contract)[1]


def _layout(size: tuple[int, int], contract: InputContract) -> tuple[tuple[int, int], Geometry]:
    """The (width, height) that an image is resized to, and the geometry of where that is put."""
    width, height = size
    ratio_x, ratio_y = contract.width / width, contract.height / height
    if contract.resize == "stretch":
        return (contract.width, contract.height), Geometry((ratio_x, ratio_y), (0.0, 0.0))
    if contract.resize == "letterbox":
        ratio = min(ratio_x, ratio_y)
    elif contract.resize == "crop":
        ratio = max(ratio_x, ratio_y)
    else:
        raise ValueError(f"expected a resize of stretch, letterbox or crop but got {contract.resize!r}")
    resized = _whole(width * ratio, contract.rounding), _whole(height * ratio, contract.rounding)
    free_x, free_y = contract.width - resized[0], contract.height - resized[1]
    left, top = (free_x // 2, free_y // 2) if contract.anchor == "center" else (0, 0)
    return resized, Geometry((ratio, ratio), (float(left), float(top)))


def _place(image: NDArray[np.uint8], contract: InputContract) -> tuple[NDArray[np.uint8], Geometry]:
    size, geometry = _layout((image.shape[1], image.shape[0]), contract)
    resized = _resized(image, size[0], size[1], contract)
    if contract.resize == "stretch":
        return resized, geometry
    left, top = int(geometry.offset[0]), int(geometry.offset[1])
    if contract.resize == "crop":
        return resized[-top : contract.height - top, -left : contract.width - left], geometry
    pad = np.full((contract.height, contract.width, 3), round(contract.pad), dtype=np.uint8)
    pad[top : top + size[1], left : left + size[0]] = resized
    return pad, geometry


def _whole(length: float, rounding: str) -> int:
    whole = round(length) if rounding == "round" else int(length + 1e-9)
    return max(whole, 1)


def _resized(image: NDArray[np.uint8], width: int, height: int, contract: InputContract) -> NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return image
    kernel = _KERNELS.get(contract.interpolation)
    if kernel is None:
        raise ValueError(f"expected an interpolation of {', '.join(_KERNELS)} but got {contract.interpolation!r}")
    return np.asarray(cv2.resize(image, (width, height), interpolation=kernel), dtype=np.uint8)


def _real(pixels: NDArray[np.uint8], contract: InputContract) -> NDArray[np.float32]:
    real = pixels.astype(np.float32)
    if any(contract.mean):
        real -= np.array(contract.mean, dtype=np.float32)
    if any(value != 1 for value in contract.std):
        real /= np.array(contract.std, dtype=np.float32)
    return real
