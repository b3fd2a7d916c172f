"""The command line's progress: cells done, images a second, time left."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["BarProgress"]


class BarProgress:
    """A bar on a terminal; plain lines now and then where stderr is not one."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[cells]} cells · {task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._measuring = self._bar.add_task("measuring", total=None, cells="0", rate="", visible=False)
        self._evaluating = self._bar.add_task("evaluating", total=None, cells="0", rate="", visible=False)
        self._cells = self._cells_done = self._images = self._images_done = self._evaluated = 0
        self._start = self._spoken = time.monotonic()

    def __enter__(self) -> BarProgress:
        self._bar.start()
        self.say("reading the documents and opening every model once …")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def start(self, *, cells: int, images: int) -> None:
        self._cells, self._images = cells, images
        self._images_done = self._cells_done = 0
        self._start = self._spoken = time.monotonic()
        self._bar.reset(self._measuring, total=images, visible=bool(images), cells=f"0/{cells}", rate="")
        self._bar.update(self._evaluating, total=cells)

    def measured(self, *, images: int) -> None:
        self._images_done += images
        # Units go image by image through all scenarios, so cells fill side by side: the share that is done is shown.
        self._cells_done = self._cells * self._images_done // max(self._images, 1)
        seconds = time.monotonic() - self._start
        rate = f"{self._images_done / seconds:.0f} images/s" if seconds > 0 else ""
        self._bar.update(self._measuring, advance=images, cells=f"{self._cells_done}/{self._cells}", rate=rate)
        if not self._console.is_terminal and time.monotonic() - self._spoken > 10:
            self._spoken = time.monotonic()
            left = seconds * (self._images - self._images_done) / self._images_done
            self.say(
                f"measured {self._images_done} of {self._images} images, {self._cells_done} of {self._cells} cells, "
                f"{rate}, about {left:.0f} s left"
            )

    def evaluated(self, *, cells: int) -> None:
        self._evaluated += cells
        self._bar.update(self._evaluating, advance=cells, visible=True, cells=f"{self._evaluated}/{self._cells}")

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)
