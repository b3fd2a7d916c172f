"""From what `audit.yaml` says of a model, and what its file says, to a complete `ModelSpec`.

The file is opened and invoked once here, so that whatever cannot run is known before anything is written.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor import extensions
from auditor.errors import ModelError
from auditor.models import keras, settle
from auditor.models.contract import encode
from auditor.models.diagnose import diagnose
from auditor.models.graph import LEVEL_NAMES, Graph, load_graph, quantization_level
from auditor.models.heads import Head, recognise, structure
from auditor.models.interpreter import Delegate, Runner, open_model
from auditor.models.labels import load_labels
from auditor.models.metadata import FileNotes, load_notes
from auditor.provenance import sha256_of
from auditor.values import InputContract, ModelSpec, Postprocess

__all__ = ["DATASET_LABELS", "MADE", "ModelRequest", "derived_spec", "input_shape_of", "open_spec", "resolve_model"]

DATASET_LABELS = "dataset"
"""In place of a label list: the data set's classes, in their order."""

MADE = "made by the auditor"
"""How the source of a level's `quantization` begins where the auditor made the file; then comes with what."""

_EDGE_TPU = "edgetpu-custom-op"
_FIRST = 4
"""Images that settle what a head leaves open; the others of a request are used only where these show nothing."""

_HEAD_INPUTS: dict[str, dict[str, Any]] = {
    # Megvii's preproc(): BGR, no scaling, image at the top left of a canvas of 114.
    "yolox": {
        "color": "bgr",
        "mean": (0.0,),
        "std": (1.0,),
        "resize": "letterbox",
        "anchor": "top_left",
        "rounding": "floor",
        "pad": 114.0,
    },
    # Ultralytics' LetterBox: RGB in 0..1, centred on a canvas of 114.
    "ultralytics": {
        "color": "rgb",
        "mean": (0.0,),
        "std": (255.0,),
        "resize": "letterbox",
        "anchor": "center",
        "rounding": "round",
        "pad": 114.0,
    },
    # TensorFlow's SSDs: RGB in -1..1, aspect ratio not kept.
    "ssd": {
        "color": "rgb",
        "mean": (127.5,),
        "std": (127.5,),
        "resize": "stretch",
        "anchor": "center",
        "rounding": "round",
        "pad": 0.0,
    },
    # No convention holds for classifiers: 0..1, stretched, until the input contract check or the user says better.
    "classifier": {
        "color": "rgb",
        "mean": (0.0,),
        "std": (255.0,),
        "resize": "stretch",
        "anchor": "center",
        "rounding": "round",
        "pad": 0.0,
    },
    # NanoDet's configs: BGR, ImageNet statistics in pixel units, keep_ratio False.
    "nanodet": {
        "color": "bgr",
        "mean": (103.53, 116.28, 123.675),
        "std": (57.375, 57.12, 58.395),
        "resize": "stretch",
        "anchor": "center",
        "rounding": "round",
        "pad": 0.0,
    },
}
_HEAD_FAMILY = {
    "yolox": "yolox",
    "yolov5": "ultralytics",
    "yolov8": "ultralytics",
    "end2end": "ultralytics",
    "tflite_postprocess": "ssd",
    "ssd_anchors": "ssd",
    "nanodet": "nanodet",
    "classifier": "classifier",
}


@dataclass(frozen=True)
class ModelRequest:
    """What `audit.yaml` says of one model, paths made absolute. `images` are the first readable images of its data set.
    Labels may be missing where nothing is judged (`need_labels` false). `categories` are the data set's classes."""

    name: str
    model: str
    path: str
    dataset: str
    folder: str
    quantization: str | None = None
    decoder: str | None = None
    decoder_options: Mapping[str, Any] = field(default_factory=dict)
    labels: str | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    postprocess: Mapping[str, Any] = field(default_factory=dict)
    images: tuple[NDArray[np.uint8], ...] = ()
    need_labels: bool = True
    task: str | None = None
    categories: tuple[str, ...] = ()


def resolve_model(request: ModelRequest) -> ModelSpec:
    """Read, open and invoke one model and settle everything that measuring needs.

    Raises:
        ModelError: the file cannot be read, opened, invoked or understood, or the request contradicts it.
    """
    path = Path(request.path)
    if keras.is_parent(path):
        return _resolve_parent(request)
    graph = load_graph(path)
    _check_runnable(graph)
    notes = load_notes(graph)
    sources: dict[str, str] = {}
    labels = _labels(request, notes, sources)
    shape = _input_facts(graph, notes, request, sources)
    runner = open_model(
        path, delegate="xnnpack", threads=1, input_shape=input_shape_of(graph, shape), output_names=graph.output_names()
    )
    arrays = _invoke(runner, shape, path)
    head = _head(request, graph, notes, arrays, shape, labels, sources)
    contract = _contract(request, notes, shape, head.decoder, sources)
    spec = ModelSpec(
        name=request.name,
        model=request.model,
        path=str(path),
        sha256=sha256_of(path),
        task="classification" if head.decoder == "classifier" else "detection",
        quantization=request.quantization or quantization_level(graph),
        input=contract,
        decoder=head.decoder,
        decoder_options=head.options,
        labels=labels,
        postprocess=Postprocess(**request.postprocess),
        size_bytes=graph.size_bytes,
        output_dtypes=_output_dtypes(graph),
        dataset=request.dataset,
        sources=sources,
    )
    level = quantization_level(graph)
    if request.quantization in LEVEL_NAMES and request.quantization != level:
        raise ModelError(
            f"`quantization` says {request.quantization}, but the graph's weighted ops are {level}; leave it out, or "
            "give the level a name of its own",
            field="quantization",
        )
    sources["quantization"] = (
        f"audit.yaml (the graph says {level})" if request.quantization not in (None, level) else "graph"
    )
    sources["decoder"] = "audit.yaml" if request.decoder else f"graph: {head.reason}"
    for setting in dataclasses.fields(Postprocess):
        sources[f"postprocess.{setting.name}"] = "audit.yaml" if setting.name in request.postprocess else "default"
    first, rest = request.images[:_FIRST], request.images[_FIRST:]
    samples = [runner.invoke(encode(image, contract)[0]) for image in first] or [arrays]
    spec = settle.settle(
        spec,
        samples,
        given=request.decoder_options,
        more=lambda: [runner.invoke(encode(image, contract)[0]) for image in rest],
    )
    return dataclasses.replace(spec, diagnosis=diagnose(spec, graph, samples, first))


class _ParentRunner:
    """A parent behind the interface of an opened file: its outputs by the names that the converted file gives them."""

    def __init__(self, spec: ModelSpec) -> None:
        self._call = keras.open_parent(Path(spec.path))
        self._positions = spec.outputs

    def invoke(self, tensor: NDArray[Any]) -> dict[str, NDArray[Any]]:
        outputs = self._call(tensor)
        return {name: outputs[position] for name, position in self._positions.items()}

    def delegated(self) -> None:
        """TensorFlow has no delegate."""


def _resolve_parent(request: ModelRequest) -> ModelSpec:
    """Settle a Keras or SavedModel source by its float32 conversion, which has the same head, input and outputs."""
    path = Path(request.path)
    if not path.exists():
        raise ModelError(f"{path}: no such file or folder; expected a .keras file or a SavedModel folder", field="path")
    if request.quantization not in (None, keras.PARENT):
        raise ModelError(
            f"a Keras or SavedModel source is the level `{keras.PARENT}`; leave `quantization` out",
            field="quantization",
        )
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / f"{path.stem}.tflite"
        converted.write_bytes(keras.convert(path, "float32", size=request.input.get("size")))
        try:
            spec = resolve_model(dataclasses.replace(request, path=str(converted), quantization=keras.PARENT))
            tensor, _ = encode(_sample(request, spec.input), spec.input)
            outputs = keras.paired_outputs(
                keras.open_parent(path)(tensor), open_spec(spec, delegate="xnnpack", threads=1).invoke(tensor), path
            )
        except ModelError as error:
            raise ModelError(str(error).replace(str(converted), str(path)), field=error.field) from error
    return dataclasses.replace(
        spec,
        path=str(path),
        sha256=keras.sha256_of_parent(path),
        size_bytes=keras.size_of_parent(path),
        outputs=outputs,
        sources={**spec.sources, "quantization": "the source is not TFLite"},
        diagnosis={},
    )


def _sample(request: ModelRequest, contract: InputContract) -> NDArray[np.uint8]:
    """An image on which outputs of one shape differ."""
    if request.images:
        return request.images[0]
    return np.random.default_rng(0).integers(0, 256, (contract.height, contract.width, 3), dtype=np.uint8)


def open_spec(spec: ModelSpec, *, delegate: Delegate, threads: int) -> Runner:
    """Open the model of a resolved spec; a parent runs in TensorFlow, whatever the delegate.

    Raises:
        DelegateError, ModelError: as `open_model`.
    """
    if keras.is_parent(Path(spec.path)):
        return _ParentRunner(spec)
    graph = load_graph(Path(spec.path))
    return open_model(
        Path(spec.path),
        delegate=delegate,
        threads=threads,
        input_shape=input_shape_of(graph, spec.input),
        output_names=graph.output_names(),
    )


def derived_spec(
    spec: ModelSpec, path: Path, *, level: str, made: str, images: Sequence[NDArray[np.uint8]]
) -> ModelSpec:
    """The spec of a file that was made from the model of `spec`: everything is inherited but what its graph fixes.
    `made` says with what.

    The file is opened and invoked, and diagnosed on `images`.

    Raises:
        ModelError: it cannot be opened or invoked, or has other outputs than its source.
    """
    graph = load_graph(path)
    source_names = tuple(spec.outputs) or load_graph(Path(spec.path)).output_names()
    if len(source_names) != len(graph.outputs):
        raise ModelError(f"{path}: it has {len(graph.outputs)} outputs, its source {len(source_names)}")
    tensor = graph.tensors[graph.inputs[0]]
    contract = dataclasses.replace(
        spec.input,
        dtype=tensor.dtype,
        scale=tensor.scales[0] if tensor.scales else 0.0,
        zero_point=tensor.zero_points[0] if tensor.zero_points else 0,
    )
    renamed = dict(zip(source_names, graph.output_names(), strict=True))
    derived = dataclasses.replace(
        spec,
        name=f"{spec.name}_{level}",
        path=str(path),
        sha256=sha256_of(path),
        quantization=level,
        input=contract,
        decoder_options=_renamed(spec.decoder_options, renamed),
        size_bytes=graph.size_bytes,
        output_dtypes=_output_dtypes(graph),
        outputs={},
        sources={**spec.sources, "quantization": f"{MADE} with {made}"},
    )
    runner = open_spec(derived, delegate="xnnpack", threads=1)
    samples = [runner.invoke(encode(image, contract)[0]) for image in images[:_FIRST]] or [
        _invoke(runner, contract, path)
    ]
    return dataclasses.replace(derived, diagnosis=diagnose(derived, graph, samples, images[:_FIRST]))


def _output_dtypes(graph: Graph) -> tuple[str, ...]:
    return tuple(graph.tensors[index].dtype for index in graph.outputs)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Decoder options with the outputs' new names."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, Mapping):
        return {key: _renamed(item, names) for key, item in value.items()}
    return [_renamed(item, names) for item in value] if isinstance(value, list) else value


def _check_runnable(graph: Graph) -> None:
    if any(op.name == _EDGE_TPU for op in graph.ops):
        raise ModelError(
            f"{graph.path}: this model is compiled for the Edge TPU and runs nowhere else; audit the .tflite file it "
            "was compiled from"
        )
    custom = sorted({op.name for op in graph.ops if op.custom} - {"TFLite_Detection_PostProcess"})
    if custom:
        flex = [name for name in custom if name.startswith("Flex")]
        hint = "convert without SELECT_TF_OPS" if flex else "export the model without it"
        raise ModelError(
            f"{graph.path}: the runtime lacks the custom op{'s' if len(custom) > 1 else ''} {', '.join(custom)}; {hint}"
        )
    if len(graph.signatures) > 1:
        raise ModelError(
            f"{graph.path}: it has several signatures ({', '.join(sorted(graph.signatures))}); export one of them alone"
        )
    if len(graph.inputs) != 1:
        names = ", ".join(graph.tensors[index].name for index in graph.inputs)
        raise ModelError(f"{graph.path}: it has {len(graph.inputs)} inputs ({names}); expected one image")


def _labels(request: ModelRequest, notes: FileNotes, sources: dict[str, str]) -> tuple[str | None, ...]:
    if request.labels is not None:
        sources["labels"] = "audit.yaml"
        if request.labels == DATASET_LABELS:
            sources["labels"] = "the data set's classes, in their order"
            return request.categories
        try:
            return load_labels(request.labels, Path(request.folder) / request.labels)
        except ModelError as error:
            raise ModelError(str(error), field="labels") from error
    if notes.labels:
        sources["labels"] = notes.labels_from or "metadata"
        return notes.labels
    if not request.need_labels:
        sources["labels"] = "default"
        return ()
    raise ModelError(
        "the file names no labels; write `labels:` with a built-in list (coco80, coco90, coco91), a file with one "
        "label a line, or "
        "`dataset` where the model's classes stand in the order of the data set's",
        field="labels",
    )


def _input_facts(graph: Graph, notes: FileNotes, request: ModelRequest, sources: dict[str, str]) -> InputContract:
    """What the graph fixes of the input contract: size, layout, type and quantization."""
    tensor = graph.tensors[graph.inputs[0]]
    shape = tensor.shape
    if len(shape) not in (3, 4):
        raise ModelError(
            f"its input {tensor.name} has the shape {shape}; expected an image (1, height, width, channels) or (1, "
            "height, width)"
        )
    flat = len(shape) == 3
    nchw = not flat and shape[1] in (1, 3) and shape[3] not in (1, 3)
    channels = 1 if flat else shape[1] if nchw else shape[3]
    height, width = (shape[2], shape[3]) if nchw else (shape[1], shape[2])
    if channels not in (1, 3):
        raise ModelError(f"its input {tensor.name} has {channels} channels {shape}; expected 1 (grey) or 3 (colour)")
    sources.update(
        dict.fromkeys(
            ("input.height", "input.width", "input.layout", "input.dtype", "input.scale", "input.zero_point"), "graph"
        )
    )
    if height <= 0 or width <= 0:
        size = request.input.get("size") or _ultralytics_size(notes)
        if size is None:
            raise ModelError(
                f"its input leaves height or width open {shape}; write `input: {{size: [height, width]}}`",
                field="input",
            )
        height, width = int(size[0]), int(size[1])
        sources["input.height"] = sources["input.width"] = "audit.yaml" if request.input.get("size") else "metadata"
    elif request.input.get("size") not in (None, (height, width)):
        raise ModelError(
            f"`input.size` says {tuple(request.input['size'])} but the file fixes its input at ({height}, {width}); "
            "leave `size` out"
        )
    if tensor.dtype not in ("float32", "uint8", "int8", "int16"):
        raise ModelError(f"its input {tensor.name} is {tensor.dtype}; expected float32, uint8, int8 or int16")
    return InputContract(
        height=height,
        width=width,
        layout="nhw" if flat else "nchw" if nchw else "nhwc",
        color="gray" if channels == 1 else "rgb",
        dtype=tensor.dtype,
        scale=tensor.scales[0] if tensor.scales else 0.0,
        zero_point=tensor.zero_points[0] if tensor.zero_points else 0,
    )


def _ultralytics_size(notes: FileNotes) -> Sequence[int] | None:
    size = notes.ultralytics.get("imgsz")
    return (
        (size, size) if isinstance(size, int) else size if isinstance(size, (list, tuple)) and len(size) == 2 else None
    )


def _head(
    request: ModelRequest,
    graph: Graph,
    notes: FileNotes,
    arrays: Mapping[str, NDArray[Any]],
    contract: InputContract,
    labels: Sequence[str | None],
    sources: dict[str, str],
) -> Head:
    request = dataclasses.replace(request, decoder_options=_own_names(request.decoder_options, graph))
    if request.task == "classification" and request.decoder is None:
        request = dataclasses.replace(request, decoder="classifier")
    if request.decoder is None:
        head = recognise(graph, notes, arrays, contract=contract, classes=len(labels) or None)
    else:
        if request.decoder not in extensions.names("decoders"):
            raise ModelError(
                f"decoder {request.decoder!r} is not known; known are: {', '.join(extensions.names('decoders'))}",
                field="decoder",
            )
        settle.checked_options(request.decoder, request.decoder_options, folder=Path(request.folder))
        head = Head(request.decoder, _structure(request, graph, arrays, contract, len(labels) or None), "audit.yaml")
    if request.task is not None and (head.decoder == "classifier") != (request.task == "classification"):
        raise ModelError(f"`task` is {request.task}, but its decoder is {head.decoder} ({head.reason})", field="task")
    options = {
        **head.options,
        **settle.checked_options(head.decoder, request.decoder_options, folder=Path(request.folder)),
    }
    sources.update(dict.fromkeys((f"decoder.{name}" for name in head.options), "graph"))
    sources.update(dict.fromkeys((f"decoder.{name}" for name in request.decoder_options), "audit.yaml"))
    return dataclasses.replace(head, options=options)


def _own_names(options: Mapping[str, Any], graph: Graph) -> dict[str, Any]:
    """Decoder options with outputs by the file's own names, where they are given as a signature calls them."""
    names = dict(zip(graph.outputs, graph.output_names(), strict=True))
    called = {
        said: names[index] for outputs in graph.signatures.values() for index, said in outputs.items() if index in names
    }
    renamed = {said: own for said, own in called.items() if said not in names.values()}
    return {
        key: _renamed(value, renamed) if key in ("outputs", "slots", "boxes", "scores") else value
        for key, value in options.items()
    }


def _structure(
    request: ModelRequest,
    graph: Graph,
    arrays: Mapping[str, NDArray[Any]],
    contract: InputContract,
    classes: int | None,
) -> dict[str, Any]:
    """What the shapes fix of a decoder that `audit.yaml` names; outputs that it names too need not be told apart."""
    given = request.decoder_options
    named = list(given["slots"].values()) if "slots" in given else list(given.get("outputs", ()))
    named += [given[role] for role in ("boxes", "scores") if role in given]
    absent = [name for name in named if name not in arrays]
    if absent:
        raise ModelError(
            f"the model has no output {', '.join(map(repr, absent))}; it has {', '.join(arrays)}", field="decoder"
        )
    if "slots" in given:
        return {"box_unit": "normalized"}
    if "outputs" in given:
        chosen = {name: arrays[name] for name in given["outputs"]}
        return structure(str(request.decoder), graph, chosen, contract, classes, ordered=True)
    if {"boxes", "scores"} <= given.keys():
        rest = [name for name in arrays if name not in named]
        return {"anchors": rest[0]} if len(rest) == 1 and "anchors" not in given else {}
    return structure(str(request.decoder), graph, arrays, contract, classes)


def _contract(
    request: ModelRequest, notes: FileNotes, facts: InputContract, decoder: str, sources: dict[str, str]
) -> InputContract:
    """Fill the input contract: `audit.yaml`, then the file's own words, then what models with this head are trained
    with."""
    values: dict[str, Any] = dict(_HEAD_INPUTS[_HEAD_FAMILY.get(decoder, "ultralytics")], interpolation="linear")
    origin = dict.fromkeys(values, "default")
    if notes.ultralytics:
        values |= _HEAD_INPUTS["ultralytics"]
        origin |= dict.fromkeys(_HEAD_INPUTS["ultralytics"], "metadata")
    said = {"color": notes.color, "mean": notes.mean, "std": notes.std}
    if facts.dtype in ("uint8", "int8"):
        # The pixels as they are: code = pixel (uint8) or pixel - 128 (int8), whatever the metadata says.
        shift = 0 if facts.dtype == "uint8" else 128
        said |= {"mean": (float(facts.zero_point + shift),), "std": (1.0 / facts.scale if facts.scale else 1.0,)}
        origin |= {"mean": "graph", "std": "graph"}
    for key, value in said.items():
        if value is not None:
            values[key] = value
            origin[key] = "metadata" if origin[key] != "graph" else "graph"
    conventional = dict(values), dict(origin)
    for key, value in request.input.items():
        if key != "size" and value is not None:
            values[key] = tuple(float(item) for item in np.atleast_1d(value)) if key in ("mean", "std") else value
            origin[key] = "audit.yaml"
    if facts.dtype in ("uint8", "int8") and (origin["mean"] == "audit.yaml") != (origin["std"] == "audit.yaml"):
        raise ModelError(
            "its input is an integer type: give `input.mean` and `input.std` together, or neither (the pixels as they "
            "are)",
            field="input",
        )
    if (values["color"] == "gray") != (facts.color == "gray"):
        if origin["color"] == "audit.yaml":
            raise ModelError(
                f"`input.color` is {values['color']} but the model's input has {facts.channels} channel(s)",
                field="input",
            )
        values["color"], origin["color"] = facts.color, "graph"
    for key in ("mean", "std"):
        if values["color"] == "gray" and len(values[key]) == 3:
            if origin[key] == "audit.yaml":
                raise ModelError(
                    f"`input.{key}` has three values but the model's input is grey; give one", field="input"
                )
            values[key] = values[key][:1]
    for key, where in origin.items():
        before, said_by = conventional[0][key], conventional[1][key]
        departs = where == "audit.yaml" and before != values[key]
        sources[f"input.{key}"] = f"audit.yaml (instead of {_plain(before)}, {said_by})" if departs else where
    return dataclasses.replace(facts, **values)


def _plain(value: Any) -> str:
    return "/".join(f"{item:g}" for item in value) if isinstance(value, tuple) else str(value)


def input_shape_of(graph: Graph, contract: InputContract) -> tuple[int, ...] | None:
    """Return the shape to resize the input to, where the file leaves a dimension open or has a batch above 1."""
    size = (contract.height, contract.width)
    shape = {"nchw": (1, contract.channels, *size), "nhw": (1, *size)}.get(
        contract.layout, (1, *size, contract.channels)
    )
    return None if graph.tensors[graph.inputs[0]].shape == shape else shape


def _invoke(runner: Runner, contract: InputContract, path: Path) -> Mapping[str, NDArray[Any]]:
    """Run the model once on grey, to learn the shapes of its outputs."""
    grey = np.full((contract.height, contract.width, 3), 128, dtype=np.uint8)
    tensor, _ = encode(
        grey, dataclasses.replace(contract, color="gray" if contract.color == "gray" else "rgb", std=(255.0,))
    )
    try:
        return runner.invoke(tensor)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: opens but cannot be invoked: {' '.join(str(error).split())[:300]}") from error
