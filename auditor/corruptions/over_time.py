"""How a corruption goes on over the frames of a clip: it holds, is drawn anew in each, or moves with the time."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["DARKER", "TIME", "Draw", "each_frame", "is_anew", "of_frame"]

Function = TypeVar("Function", bound=Callable[..., Any])

TIME = "time_s"
"""The parameter of a corruption that moves: it is given the seconds since the first frame, 0 for an image."""
DARKER = "darker"
"""The parameter of a corruption that follows the scene, as a gain does: it is given by which factor the scene of the
last half second is darker than the clip's mean, 1 for an image."""
_MARK = "_auditor_each_frame"
_NOISES = frozenset(
    {
        "AdditiveNoise",
        "GaussNoise",
        "ISONoise",
        "MultiplicativeNoise",
        "PixelDropout",
        "SaltAndPepper",
        "ShotNoise",
    }
)
"""Transforms of albumentations that are noise of the sensor."""


@dataclass(frozen=True)
class Draw:
    """What a corruption draws from: `seed`, one for all frames of a clip (dirt and dead pixels stay where they are);
    `frame_seed`, of this frame alone (noise flickers); `time_s`, seconds since the first frame (rain falls); `darker`,
    the factor that a gain follows. Of an image both seeds are one."""

    seed: int
    frame_seed: int
    time_s: float = 0.0
    darker: float = 1.0

    @classmethod
    def of_image(cls, seed: int) -> Draw:
        """That of an image that is none of a clip's frames."""
        return cls(seed, seed)

    def chosen(self, *, anew: bool) -> int:
        """The seed of what is drawn `anew` in each frame, or holds over all."""
        return self.frame_seed if anew else self.seed


def each_frame(function: Function) -> Function:
    """Mark a corruption that is drawn anew in every frame of a clip, as noise is; its `rng` is then the frame's own."""
    setattr(function, _MARK, True)
    return function


def is_anew(transform: Any) -> bool:
    """Whether a corruption, or a transform of albumentations, is drawn anew in every frame."""
    return bool(getattr(inspect.unwrap(transform), _MARK, False)) or (
        isinstance(transform, type) and transform.__name__ in _NOISES
    )


def of_frame(function: Callable[..., Any], draw: Draw) -> dict[str, float]:
    """What of a frame a corruption takes: its time, or how dark its scene is."""
    taken = inspect.signature(function).parameters
    return {name: value for name, value in ((TIME, draw.time_s), (DARKER, draw.darker)) if name in taken}
