"""Whether a model runs on a delegate at all, and what the delegate takes of it: asked once, in a process that may be
lost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from auditor.errors import DelegateError, ModelError
from auditor.models.contract import encode
from auditor.models.interpreter import Delegate
from auditor.models.resolve import open_spec
from auditor.values import ModelSpec

__all__ = ["VerifyRequest", "verify"]


@dataclass(frozen=True)
class VerifyRequest:
    """Open `spec` on `delegate` and invoke it once."""

    spec: ModelSpec
    delegate: Delegate


def verify(request: VerifyRequest) -> dict[str, Any]:
    """Return `delegated` and `ops`, how many of the graph's ops the delegate took of how many (None where that cannot
    be told), and the `seconds` that opening and invoking took; or `skipped` or `failed` with the reason."""
    image = np.full((request.spec.input.height, request.spec.input.width, 3), 128, dtype=np.uint8)
    begin = time.perf_counter()
    try:
        runner = open_spec(request.spec, delegate=request.delegate, threads=1)
        runner.invoke(encode(image, request.spec.input)[0])
    except DelegateError as error:
        return {"skipped": str(error)}
    except (ModelError, RuntimeError, ValueError) as error:
        name = request.delegate if isinstance(request.delegate, str) else request.delegate.name
        return {"failed": f"{name}: {type(error).__name__}: {error}"}
    seconds = time.perf_counter() - begin
    delegated, ops = runner.delegated() or (None, None)
    return {"delegated": delegated, "ops": ops, "seconds": seconds}
