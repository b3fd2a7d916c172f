"""Clips that tests write, and a clip with its truth."""

from __future__ import annotations

import av

from auditor.datasets.dataset import DatasetRequest

FRAMES = 40
"""Of the clip that is drawn for all tests of clips, four seconds."""


def coded(path, images, *, pts=None, options=None, rate=10, base=None):
    """Write frames as H.264, each at a time of its own where that is given."""
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("libx264", rate=rate, options={"threads": "1", **(options or {})})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if base is not None:
            stream.codec_context.time_base = base
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[number], base
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    return path


def with_truth(folder, path):
    """A clip with the gt.txt and the class names of a folder."""
    options = {"path": path, "truth": "mot"}
    return DatasetRequest("d", annotations=folder / "gt.txt", labels=folder / "labels.txt", options=options)
