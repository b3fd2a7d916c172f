"""Whether a model runs on a delegate at all, and what the delegate takes of it: asked once, in a process that may be
lost."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from auditor.delegate import Delegate
from auditor.encoding import encode
from auditor.errors import DelegateError, ModelError
from auditor.runtimes.anatomy.runtime import open_spec
from auditor.values import ModelSpec, Verified

__all__ = ["VerifyRequest", "verify"]


@dataclass(frozen=True)
class VerifyRequest:
    """Open `spec` on `delegate` and invoke it once."""

    spec: ModelSpec
    delegate: Delegate


def verify(request: VerifyRequest) -> Verified:
    """Run a model once on a delegate."""
    image = np.full((request.spec.input.height, request.spec.input.width, 3), 128, dtype=np.uint8)
    begin = time.perf_counter()
    try:
        opened = open_spec(request.spec, delegate=request.delegate, threads=1)
        opened.invoke(encode(image, request.spec.input)[0])
    except DelegateError as error:
        return Verified(skipped=str(error))
    except (ModelError, RuntimeError, ValueError) as error:
        return Verified(failed=f"{request.delegate.name}: {type(error).__name__}: {error}")
    seconds = time.perf_counter() - begin
    try:
        delegated, ops = opened.delegated() or (None, None)
    except UnicodeDecodeError:  # a name in the file is no text, which is no hindrance to running it
        delegated, ops = None, None
    return Verified(delegated, ops, seconds)
