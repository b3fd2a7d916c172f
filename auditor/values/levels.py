"""The quantization levels by name: the one home of these words."""

from __future__ import annotations

__all__ = [
    "ALIASES",
    "ASKABLE",
    "ASKED",
    "CALIBRATED",
    "DYNAMIC",
    "FLOAT16",
    "FLOAT32",
    "FLOAT_HEAD",
    "FLOAT_MORE",
    "GRAPH_LEVELS",
    "INT8",
    "INT16X8",
    "PARENT",
    "REMEDIES",
    "WEIGHT_ONLY",
]

FLOAT32 = "float32"
FLOAT16 = "float16"
DYNAMIC = "dynamic"
WEIGHT_ONLY = "weight_only"
INT8 = "int8"
INT16X8 = "int16x8"

GRAPH_LEVELS = (FLOAT32, FLOAT16, DYNAMIC, WEIGHT_ONLY, INT8, INT16X8)
"""The levels that a graph can be told to have."""

ASKED = GRAPH_LEVELS
"""The levels that can be asked for. Of a `.tflite` source `float32` is the source itself."""

FLOAT_HEAD = "int8_float_head"
"""The remedy: int8 but for the chain of ops from the outputs back to the first weighted ops, which stays in float."""

ASKABLE = (*ASKED, FLOAT_HEAD)
"""The levels that a document or a command may name: the remedy too, which is else made where int8 breaks in its
head."""

ALIASES = {"w8a32": DYNAMIC, "w8a16": INT16X8, "w8a8": INT8}
"""What exporters call these levels, by the bits of weights and activations.
Source: https://docs.ultralytics.com/integrations/litert (`quantize`)."""

PARENT = "parent"
"""A Keras or SavedModel source, that is not TFLite yet: what its levels are made of."""

FLOAT_MORE = "int8_float_more"
"""As `FLOAT_HEAD`, with the ops behind some more weighted ops in float too: whether more float would help."""

REMEDIES = (FLOAT_HEAD, FLOAT_MORE)

CALIBRATED = (INT8, INT16X8, FLOAT_HEAD, FLOAT_MORE)
"""The levels that need calibration images."""
