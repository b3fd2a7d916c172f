"""The command line's progress: the stage, what of it is done, and the time left of the whole run."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from auditor.files import readable

__all__ = ["BarProgress", "duration"]

_SILENCE_S = 4.0
"""A line at least so often, where there is no terminal to draw on."""
_EARLY = 0.05
"""Before this share of a stage is done, what was expected says more of its pace than what was seen."""


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(0.4), duration(75), duration(200), duration(5400)
    ('a few seconds', '75 s', '3 min', '1 h 30 min')
    """
    if seconds < 3:
        return "a few seconds"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class BarProgress:
    """A bar on a terminal; plain lines where stderr is none. Neither is silent for long, whatever a stage does."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn("line"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, count="", left="", visible=False)
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._beat = threading.Thread(target=self._keep_telling, daemon=True)
        self._name, self._what = "", ""
        self._of = self._pieces = 0
        self._expected = self._later = 0.0
        self._start = self._spoken = time.monotonic()

    def __enter__(self) -> BarProgress:
        self._bar.start()
        self._beat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._beat.join()
        if error is None:
            self._close_stage()
        self._bar.stop()

    def stage(self, name: str, *, of: int = 0, what: str = "", seconds: float = 0.0, later: float = 0.0) -> None:
        with self._lock:
            self._close_stage()
            self._name, self._of, self._what, self._expected, self._later = name, of, what, seconds, later
            self._pieces, self._start = 0, time.monotonic()
            self._bar.reset(self._task, total=of or None, description=name, visible=True, count="", left="")
            if self._console.is_terminal:
                self._draw()
            else:
                self.say(f"{name}{f': {of} {what}' if of else ''} …{self._left()}")

    def done(self, pieces: int = 1) -> None:
        with self._lock:
            self._pieces += pieces
            self._bar.update(self._task, completed=self._pieces)
            self._draw()

    def say(self, text: str) -> None:
        with self._lock:
            self._spoken = time.monotonic()
            self._console.print(readable(text), highlight=False, markup=False, soft_wrap=True)

    def _keep_telling(self) -> None:
        while not self._ended.wait(0.5):
            with self._lock:
                if self._console.is_terminal:
                    self._draw()
                elif self._name and time.monotonic() - self._spoken >= _SILENCE_S:
                    self.say(f"{self._name}: {self._count()}{self._left()}")

    def _draw(self) -> None:
        self._bar.update(self._task, count=self._count() if self._of else "", left=self._left().removeprefix(", "))

    def _close_stage(self) -> None:
        """Leave a line of a stage that took a while: what was done in which time."""
        seconds = time.monotonic() - self._start
        if self._name and seconds >= 1:
            done = f"{self._pieces} {self._what} in " if self._pieces else ""
            self.say(f"{self._name}: done, {done}{seconds:.0f} s")
        self._name = ""
        self._bar.update(self._task, visible=False)

    def _count(self) -> str:
        if self._of:  # which is about how many, of a search
            return f"{self._pieces}{f' of {self._of}' if self._pieces <= self._of else ''} {self._what}"
        return f"{time.monotonic() - self._start:.0f} s"

    def _left(self) -> str:
        """The time left of this stage by its pace so far, or as expected, and of those after it."""
        spent = time.monotonic() - self._start
        share = min(1.0, self._pieces / self._of) if self._of else 0.0
        here = spent / share - spent if share > _EARLY else max(0.0, self._expected * (1 - share) - spent * (not share))
        left = here + self._later
        return f", about {duration(left)} left" if left > 0 else ""
