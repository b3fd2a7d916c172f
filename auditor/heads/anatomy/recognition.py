"""Ask every head whether a model is its own; where none or several say so, say what the model looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from auditor.errors import ModelError
from auditor.heads.anatomy.head import Head, Match, Near, Outputs, Seen, listed

__all__ = ["recognise"]

_POSE_CHANNELS = 56
"""Box, score and 17 keypoints of three numbers."""


def recognise(
    seen: Seen, heads: Mapping[str, Head], *, tasks: str, samples_for: Callable[[Head], Sequence[Outputs]]
) -> tuple[Head, str]:
    """Return the one head whose outputs these are, and why; `tasks` are those that are judged, in words.

    What an op, a name or a grid says of a head goes before what shapes suggest. Where the shapes are those of several
    heads, the values on a few images choose (`samples_for` feeds the model as one of them is trained), and the reason
    says so.

    Raises:
        ModelError: no head fits, or several do; says what the model looks like, or which line of YAML settles it.
    """
    if not seen.arrays:
        raise ModelError("it has no outputs, so nothing to judge")
    answers = {name: head.recognise(seen) for name, head in heads.items()}
    matches = {name: answer for name, answer in answers.items() if isinstance(answer, Match)}
    chosen = {name: match for name, match in matches.items() if match.sure}
    _refuse_features(seen, tasks)
    near = [answer.what for answer in answers.values() if isinstance(answer, Near)]
    if len(chosen) != 1:
        _refuse_other_tasks(seen, tasks, near)
        chosen = chosen or matches
    if len(chosen) > 1:
        fitting = {name: match for name, match in chosen.items() if _fits(heads[name], seen, samples_for(heads[name]))}
        if len(fitting) == 1:
            ((name, match),) = fitting.items()
            others = ", ".join(other for other in chosen if other != name)
            return heads[name], f"{match.reason}; its values on the first images are no {others}'s"
        chosen = fitting or chosen
    if len(chosen) > 1:
        raise ModelError(
            f"its outputs {listed(seen.arrays)} may be those of "
            f"{' or '.join(f'`decoder: {name}`' for name in chosen)}; "
            "write which",
            field="decoder",
        )
    for name, match in chosen.items():
        return heads[name], match.reason
    if not near:
        raise ModelError(
            f"its outputs {listed(seen.arrays)} fit no decoder; write `decoder:` with the head's name, or register one "
            "of your own"
        )
    if seen.classes is None:
        raise ModelError(
            f"its outputs {listed(seen.arrays)} may be {' or '.join(near)}; give `labels:`, or write `decoder:`"
        )
    raise ModelError(
        f"its outputs {listed(seen.arrays)} would be {' or '.join(near)}, but the model has {seen.classes} labels: "
        "check `labels:`, or write `decoder:`",
        field="labels",
    )


_PASSING = ("RESHAPE", "SQUEEZE", "DEQUANTIZE", "QUANTIZE", "CAST", "IDENTITY")
"""Ops that change no value."""
_POOLING = ("MEAN", "AVERAGE_POOL_2D", "SUM", "REDUCE_MAX", "MAX_POOL_2D")
_CELL_SIDES = (4, 8, 16, 32)
_MOST_CENTROIDS = 32


def _refuse_features(seen: Seen, tasks: str) -> None:
    """Name embeddings, and grids of centroids: neither has the scores or boxes that their shapes suggest."""
    if len(seen.arrays) != 1:
        return
    ((name, array),) = seen.arrays.items()
    ops = [op for op in seen.made_by.get(name, ()) if op not in _PASSING]
    flat = array.ndim >= 2 and array.size == array.shape[-1] > 1
    if flat and ops and (ops[0] == "L2_NORMALIZATION" or (ops[0] in _POOLING and seen.classes != array.size)):
        what = "is normalised to length 1" if ops[0] == "L2_NORMALIZATION" else "follows global pooling"
        raise ModelError(
            f"its output {listed(seen.arrays)} {what}: an embedding of {array.size} numbers, not scores of as many "
            f"classes; only {tasks} are judged, so export it with its last layer, or give `labels:` if these are scores"
        )
    if array.ndim != 4 or not 2 <= array.shape[3] <= _MOST_CENTROIDS:
        return
    sides = {seen.contract.height / array.shape[1], seen.contract.width / array.shape[2]}
    if len(sides) == 1 and sides <= set(_CELL_SIDES) and ops and ops[0] == "SOFTMAX":
        raise ModelError(
            f"its output {listed(seen.arrays)} is a grid of cells of {sides.pop():g} pixels with the scores of "
            f"{array.shape[3] - 1} classes and a background: centroids (FOMO), which have no boxes; only {tasks} are "
            "judged"
        )


def _fits(head: Head, seen: Seen, samples: Sequence[Outputs]) -> bool:
    return not samples or head.plausible(seen, samples)


def _refuse_other_tasks(seen: Seen, tasks: str, near: Sequence[str]) -> None:
    """Name models of tasks that nothing here judges."""
    arrays, shapes = listed(seen.arrays), seen.shapes
    task = seen.notes.get("task")
    if task not in (None, "detect", "classify"):
        raise ModelError(f"its metadata says that its task is {task!r}; only {tasks} are judged")
    if len(shapes) == 1 and all(side == 1 for side in shapes[0]):
        raise ModelError(
            f"its one output {arrays} is a single value: a binary classifier's sigmoid, or no classifier; export it "
            "with one score for each class"
        )
    ranks = sorted(len(shape) for shape in shapes)
    if ranks == [2, 2] and all(shape[0] == 1 for shape in shapes):
        raise ModelError(
            f"it looks like a classifier with two outputs {arrays}; name the one that holds the scores with "
            "`outputs: [NAME]` in its decoder",
            field="decoder",
        )
    if len(shapes) == 8 and any("raw_detection" in f"{name} {called}" for name, called in seen.called.items()):
        raise ModelError(
            f"it has the eight outputs of a TensorFlow detection SavedModel {arrays}; export it with "
            "export_tflite_graph_tf2.py, which ends in TFLite_Detection_PostProcess"
        )
    if ranks == [4]:
        raise ModelError(
            f"it looks like a segmentation model (one output {arrays}, a value per pixel); only {tasks} are judged"
        )
    if ranks == [3, 4]:
        raise ModelError(
            f"it looks like an instance segmentation model (outputs {arrays}: boxes with mask coefficients, and mask "
            f"prototypes); only {tasks} are judged"
        )
    if ranks and min(ranks) >= 4 and not near:
        raise ModelError(
            f"its outputs {arrays} look like raw feature maps of a YOLO head; export the model with its boxes decoded"
        )
    if len(shapes) == 1 and _POSE_CHANNELS in shapes[0][1:] and seen.classes != _POSE_CHANNELS - 4:
        raise ModelError(
            f"it looks like a pose model (outputs {arrays}: box, score and 17 keypoints of three); only {tasks} are "
            "judged"
        )
