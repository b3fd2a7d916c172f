"""The runner inside a bundle: `python BUNDLE.pyz -o measurements.npz`. It stands alone: Python 3.9, numpy and an
interpreter.

It runs every model on every input of the bundle and keeps the raw outputs, times each model, and notes the machine.
Finished parts lie beside the output until all is done, so that an interrupted run continues.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import shutil
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
from latency import percentiles, warm_up  # beside this file in the bundle

_PART = 32
_TIMED = 100


def _interpreter_module():
    for name in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite"):
        try:
            return __import__(name, fromlist=["Interpreter"]), name
        except ImportError:
            continue
    sys.exit("error: no interpreter here; run: pip install ai-edge-litert (or tflite-runtime)")


class _Fresh:
    """An interpreter that has the state it was opened in before each invocation: variable tensors are set back, for
    anything else that the model keeps it is opened anew."""

    def __init__(self, build, state):
        self._build = build
        self._anew, self._variables = bool(set(state) - {"variable tensors"}), "variable tensors" in state
        self._is_fresh, self.interpreter = True, build()

    def reset(self):
        if not self._is_fresh:
            if self._anew:
                self.interpreter = self._build()
            elif self._variables:
                self.interpreter.reset_all_variables()
            self._is_fresh = True

    def outputs(self, tensor):
        self.reset()
        self._is_fresh = False
        self.interpreter.set_tensor(self.interpreter.get_input_details()[0]["index"], tensor)
        self.interpreter.invoke()
        details = self.interpreter.get_output_details()
        return [self.interpreter.get_tensor(output["index"]) for output in details]


def _open(module, content, delegate, shape, state):
    options = {}
    kernels = getattr(module, "OpResolverType", None) or getattr(
        getattr(module, "experimental", None), "OpResolverType", None
    )
    if delegate == "none":
        if kernels is None:
            return None
        options["experimental_op_resolver_type"] = kernels.BUILTIN_WITHOUT_DEFAULT_DELEGATES

    def build():
        interpreter = module.Interpreter(model_content=content, num_threads=1, **options)
        index = interpreter.get_input_details()[0]["index"]
        if tuple(interpreter.get_input_details()[0]["shape"]) != tuple(shape):
            interpreter.resize_tensor_input(index, shape, strict=False)
        interpreter.allocate_tensors()
        return interpreter

    return _Fresh(build, state)


def _speed(opened, tensors):
    """Warm up, then time a hundred invocations, as they are timed in an audit."""

    def once(step):
        opened.reset()
        begin = time.perf_counter()
        opened.outputs(tensors[step % len(tensors)])
        return 1e3 * (time.perf_counter() - begin)

    warmed = warm_up(once)
    times = [once(step) for step in range(_TIMED)]
    return dict(percentiles(times), warm_up_invocations=warmed, invocations=_TIMED)


def _resident(which):
    """The kernel's count of resident megabytes: VmRSS now, VmHWM the most so far; None where it does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(which)) * 1024 / 1e6
    except (OSError, StopIteration):
        return None


def _begin_peak():
    """Let the count of the most memory begin anew; None where the kernel does not let us."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return None
    return _resident("VmRSS:")


def _run_model(module, bundle, parts, model, delegate, speeds, done, total):
    """Run one model on one delegate over its inputs, part by part; parts that are there already are not run again."""
    opened, load_ms, before = None, 0.0, None
    for start in range(0, len(model["items"]), _PART):
        items = model["items"][start : start + _PART]
        part = parts / "{}.{}.{}.npz".format(model["name"], delegate, start)
        note = part.with_suffix(".json")
        if not _whole(part, note):
            if opened is None:
                before, begin = _begin_peak(), time.perf_counter()
                content = bundle.read("models/{}.tflite".format(model["sha256"]))
                opened = _open(module, content, delegate, model["shape"], model["state"])
                load_ms = 1e3 * (time.perf_counter() - begin)
            if opened is None:
                print(f"this interpreter cannot leave XNNPACK out; {delegate} is skipped", file=sys.stderr)
                return done
            _run_part(bundle, opened, part, note, model, delegate, start, items, load_ms, before)
        facts = json.loads(note.read_text(encoding="utf-8"))
        if facts:
            speeds["{}|{}".format(model["name"], delegate)] = facts
        done += len(items)
        print(f"\r{done} of {total} inputs", end="", file=sys.stderr)
    return done


def _run_part(bundle, opened, part, note, model, delegate, start, items, load_ms, before):
    arrays = {}
    for item in items:
        for index, array in enumerate(opened.outputs(_input(bundle, item))):
            arrays["{}|{}|{}|{}".format(model["name"], delegate, item["number"], index)] = array
    facts = {}
    if start == 0:
        facts = dict(_speed(opened, [_input(bundle, item) for item in items[:8]]), load=load_ms)
        peak = _resident("VmHWM:")
        facts["peak_memory_mb"] = max(0.0, peak - before) if peak is not None and before is not None else None
    temporary = part.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    temporary.replace(part)
    note.write_text(json.dumps(facts), encoding="utf-8")


def _whole(part, note):
    """Whether a part was finished by an earlier run."""
    try:
        with np.load(str(part)) as loaded:
            return bool(loaded.files) and isinstance(json.loads(note.read_text(encoding="utf-8")), dict)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return False


def _input(bundle, item):
    return np.load(io.BytesIO(bundle.read("inputs/{}.npy".format(item["input"]))))


def main(arguments=None):
    """Run the bundle that this file lies in."""
    parser = argparse.ArgumentParser(description="Run an auditor's bundle on this device.")
    parser.add_argument("-o", "--output", required=True, help="the .npz file to write")
    parser.add_argument(
        "--device", default=platform.node() or "elsewhere", help="what this device is called in the report"
    )
    options = parser.parse_args(arguments)
    if options.device.strip() in ("", "local"):
        sys.exit(f"error: --device {options.device!r}: give this device a name of its own")
    module, runtime = _interpreter_module()
    output = Path(options.output)
    bundle = zipfile.ZipFile(str(Path(__file__).resolve().parent))
    plan = json.loads(bundle.read("plan.json"))
    parts = output.with_name(output.name + f".{plan['fingerprint'][:12]}.{plan['part']}.parts")
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"error: {output}: cannot be written ({error.strerror})")
    jobs = [(model, delegate) for model in plan["models"] for delegate in plan["delegates"]]
    total, done, speeds = sum(len(model["items"]) for model, _ in jobs), 0, {}
    for model, delegate in jobs:
        done = _run_model(module, bundle, parts, model, delegate, speeds, done, total)
    print(file=sys.stderr)
    arrays = {}
    for part in sorted(parts.glob("*.npz")):
        with np.load(part) as loaded:
            arrays.update({name: loaded[name] for name in loaded.files})
    meta = {
        "fingerprint": plan["fingerprint"],
        "part": plan["part"],
        "parts": plan["parts"],
        "device": options.device,
        "runtime": runtime,
        "machine": f"{platform.system()} {platform.machine()} {platform.processor()}".strip(),
        "python": platform.python_version(),
        "speeds": speeds,
    }
    temporary = output.with_name(output.name + ".tmp")
    with temporary.open("wb") as file:
        np.savez_compressed(file, meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8), **arrays)
    temporary.replace(output)
    shutil.rmtree(parts)
    print(output)


if __name__ == "__main__":
    main()
