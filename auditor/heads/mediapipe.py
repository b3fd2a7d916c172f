"""MediaPipe's BlazeFace-like detectors: boxes with keypoints against anchors of fixed size, one score each.

Sources: Bazarevsky et al. 2019, arXiv:1907.05047; https://github.com/google-ai-edge/mediapipe,
mediapipe/calculators/tflite/ssd_anchors_calculator.proto and tflite_tensors_to_detections_calculator.proto.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.errors import ModelError
from auditor.heads.anatomy.head import BOX_OPTIONS, STRIDES, TEXT, Head, Match, Outputs, Seen, listed
from auditor.heads.anatomy.rows import activated, rescaled
from auditor.heads.anatomy.settling import settle_boxes
from auditor.values import Candidates, InputContract, Json, ModelSpec

__all__ = ["HEAD", "centres_of"]

_LAYERS = ((8, 16, 16, 16), (16, 32, 32, 32), (8, 16, 32, 32, 32), (4,))
"""The strides of the layers of faces at short range, of the back camera, of poses, and of faces at full range."""
_KEYPOINTS = (6, 4)
"""Of faces and of poses. Palms (7) are fed otherwise."""
_CLIP = 100.0
"""`score_clipping_thresh`."""


def centres_of(contract: InputContract, strides: Any) -> NDArray[np.float64]:
    """The centres (N, 2), x and y in 0 to 1, of the anchors of layers of these strides.

    Two anchors a cell and layer (one of the layer's scale, one between it and the next), layers of one stride following
    each other joined cell by cell; a single layer has one. All anchors have the size of the input.
    """
    layers = list(strides)
    each = 1 if len(layers) == 1 else 2
    found = []
    while layers:
        stride = layers[0]
        same = next((index for index, other in enumerate(layers) if other != stride), len(layers))
        rows, columns = -(-contract.height // stride), -(-contract.width // stride)
        ys, xs = np.mgrid[:rows, :columns]
        centres = np.stack([(xs.ravel() + 0.5) / columns, (ys.ravel() + 0.5) / rows], axis=1)
        found.append(np.repeat(centres, each * same, axis=0))
        layers = layers[same:]
    return np.concatenate(found)


def decode(outputs: Outputs, spec: ModelSpec) -> Candidates:
    """Decode (1, N, 4 + 2K) x, y, w, h and keypoints in pixels of the input, and (1, N, 1) logits.

    Centre = anchor's centre + value, size = value: the anchors have the size of the input. Keypoints are left out.
    """
    options: Any = spec.decoder_options
    size = np.array([spec.input.width, spec.input.height], dtype=np.float64)
    values = outputs[options["boxes"]]
    values = values.reshape(-1, values.shape[-1])[:, :4].astype(np.float64)
    centres = centres_of(spec.input, options["strides"]) * size + values[:, :2]
    half = values[:, 2:] / 2
    logits = np.clip(rescaled(outputs[options["scores"]].reshape(-1, 1), spec), -_CLIP, _CLIP)
    return Candidates(np.concatenate([centres - half, centres + half], axis=1), activated(logits, "sigmoid"))


def _outputs(seen: Seen) -> tuple[str, str, tuple[int, ...]] | None:
    """The outputs with boxes and scores, and the strides of the layers whose anchors they are."""
    shapes = {name: tuple(array.shape) for name, array in seen.arrays.items()}
    boxes = [name for name, shape in shapes.items() if len(shape) == 3 and shape[2] >= 8 and shape[2] % 2 == 0]
    scores = [name for name, shape in shapes.items() if len(shape) == 3 and shape[2] == 1]
    if len(shapes) != 2 or len(boxes) != 1 or len(scores) != 1 or shapes[boxes[0]][1] != shapes[scores[0]][1]:
        return None
    count = shapes[boxes[0]][1]
    given: Any = seen.given.get("strides")
    layers_of = (tuple(given),) if given else _LAYERS
    strides = next((layers for layers in layers_of if len(centres_of(seen.contract, layers)) == count), None)
    if not given and shapes[boxes[0]][2] // 2 - 2 not in _KEYPOINTS:
        return None
    return None if strides is None else (boxes[0], scores[0], strides)


def _recognise(seen: Seen) -> Match | None:
    found = _outputs(seen)
    if found is None:
        return None
    keypoints = seen.arrays[found[0]].shape[2] // 2 - 2
    layers = ", ".join(map(str, found[2]))
    return Match(f"boxes with {keypoints} keypoints for the anchors of layers of strides {layers}", sure=True)


def _structure(seen: Seen) -> dict[str, Json]:
    found = _outputs(seen)
    if found is None:
        raise ModelError(
            "decoder mediapipe expects (1, N, 4 + 2K) and (1, N, 1) of its anchors but the model has "
            f"{listed(seen.arrays)}",
            field="decoder",
        )
    return {"boxes": found[0], "scores": found[1], "strides": list(found[2]), "box_unit": "pixels"}


HEAD = Head(
    name="mediapipe",
    task="detection",
    about="(1, N, 4 + 2K) and (1, N, 1): MediaPipe's faces and poses",
    decode=decode,
    recognise=_recognise,
    structure=_structure,
    settle=settle_boxes,
    # mediapipe/modules/face_detection: RGB in -1..1, letterboxed in the middle on black.
    input={
        "color": "rgb",
        "mean": (127.5,),
        "std": (127.5,),
        "resize": "letterbox",
        "anchor": "center",
        "rounding": "round",
        "pad": 0.0,
    },
    options={**BOX_OPTIONS, "boxes": TEXT, "scores": TEXT, "strides": STRIDES},
    letterboxed=True,
)
