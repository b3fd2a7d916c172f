"""A video as a data set: its frames, the truth of a gt.txt, corruptions that go on over time, intervals by blocks."""

from __future__ import annotations

import dataclasses
import json
import re

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DEMO_MODEL

from auditor.cli import main
from auditor.corruptions.air import rain
from auditor.corruptions.builtin import light_of
from auditor.corruptions.corrupt import corrupt, draw_of
from auditor.corruptions.packs import pack_file, read_scenarios
from auditor.corruptions.sensing import gained
from auditor.datasets.dataset import DatasetRequest
from auditor.datasets.detect import detect_dataset
from auditor.datasets.formats.video import load
from auditor.datasets.image_table import load_table
from auditor.datasets.mot_file import read_mot
from auditor.datasets.video_file import darker_than_usual, read_clip, read_frame
from auditor.demo import clips
from auditor.demo.clips import RATE, SIZE, render_clip, write_clip
from auditor.errors import DataError, InputError
from auditor.evaluate.bootstrap import draw_weights
from auditor.evaluate.counted import Seen
from auditor.evaluate.differences import difference
from auditor.evaluate.evaluated import CellEvaluation
from auditor.evaluate.intervals import FIXED, expanded, quantile_of
from auditor.evaluate.robustness import summarize
from auditor.run import run_audit
from auditor.tasks.detection.over_frames import OVER_FRAMES
from auditor.tasks.detection.point_choice import _folds
from auditor.values import Cell, CellResult, Meant, MetricValue

FRAMES = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("video")
    write_clip(place, 3, FRAMES)
    return place


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


def by_opencv(path):
    """The frames as OpenCV's own reader gives them."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            return frames
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


# --------------------------------------------------------------------------------------------------------------- frames


@pytest.mark.parametrize("options", [{}, {"g": "12", "bf": "3"}, {"g": "250", "bf": "0"}])
def test_frames_are_those_of_another_reader_in_any_order(tmp_path, options):
    shown = [item.image for item in render_clip(5, FRAMES)]
    path = coded(tmp_path / "a.mp4", shown, options=options)
    theirs, clip = by_opencv(path), read_clip(path)
    assert len(theirs) == len(clip.frames) == FRAMES
    assert [round(frame.time_s * RATE, 6) for frame in clip.frames] == list(range(FRAMES))
    for number in (*range(FRAMES), *np.random.default_rng(0).permutation(FRAMES).tolist()):
        mine = read_frame(path, clip.frames[number].pts)
        assert np.abs(mine.astype(int) - theirs[number]).mean() < 1.0, number
        wrong = theirs[number - 1 if number else 1]
        assert np.abs(mine.astype(int) - wrong).mean() > 1.0


def test_times_are_those_of_the_file_where_frames_come_unevenly(tmp_path):
    from fractions import Fraction

    shown = [item.image for item in render_clip(5, 6)]
    path = coded(tmp_path / "a.mkv", shown, pts=[0, 100, 130, 500, 510, 2000], base=Fraction(1, 1000), rate=30)
    clip = read_clip(path)
    assert [round(frame.time_s, 2) for frame in clip.frames] == [0, 0.1, 0.13, 0.5, 0.51, 2.0]
    assert clip.promised == 0  # of uneven frames length and rate promise nothing


def test_a_clip_filmed_upright_is_shown_upright(tmp_path):
    path = coded(tmp_path / "a.mp4", [item.image for item in render_clip(5, 4)])
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # ISO/IEC 14496-12, 8.3.2: the matrix of a track header of version 0
    matrix = (0, 0x00010000, 0, 0xFFFF0000, 0, 0, 0, 0, 0x40000000)
    content[at : at + 36] = b"".join(number.to_bytes(4, "big") for number in matrix)
    path.write_bytes(content)
    clip, theirs = read_clip(path), by_opencv(path)
    assert clip.frames[0].size == (SIZE[1], SIZE[0]) == theirs[0].shape[1::-1]
    mine = read_frame(path, clip.frames[2].pts)
    assert np.abs(mine.astype(int) - theirs[2]).mean() < 1.0
    assert read_frame(path, clip.frames[2].pts, turn=False).shape == (SIZE[1], SIZE[0], 3)
    shown, stored = (
        load(DatasetRequest("d", options={"path": path}, meant=Meant(exif=exif))) for exif in (None, "ignore")
    )
    assert shown.images[0].size == (SIZE[1], SIZE[0])
    assert stored.images[0].size == SIZE
    assert "°" in shown.about["turned"]


def test_damage_in_the_middle_costs_frames_not_the_clip(tmp_path, folder):
    content = bytearray((folder / "clip.mp4").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    clip = read_clip(path)
    assert len(clip.frames) > FRAMES // 3
    assert len(clip.frames) + clip.damaged <= FRAMES + 1
    assert all(read_frame(path, frame.pts).shape == (SIZE[1], SIZE[0], 3) for frame in clip.frames)


def with_truth(folder, path):
    """A clip with the gt.txt and the class names of a folder."""
    options = {"path": path, "truth": "mot"}
    return DatasetRequest("d", annotations=folder / "gt.txt", labels=folder / "labels.txt", options=options)


def test_truth_is_refused_where_frames_before_it_are_lost(tmp_path, folder):
    """Frames behind a damaged packet have other numbers than those of the clip that was annotated."""
    source, damaged = folder / "clip.mp4", tmp_path / "damaged.mkv"
    with av.open(str(source)) as reader, av.open(str(damaged), "w") as sink:
        stream = sink.add_stream("mjpeg", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuvj420p"
        for number, frame in enumerate(reader.decode(video=0)):
            for packet in stream.encode(frame.reformat(format="yuvj420p")):
                if number == 10:
                    empty = av.Packet(b"no picture")
                    for name in ("pts", "dts", "time_base", "stream"):
                        setattr(empty, name, getattr(packet, name))
                    packet = empty
                sink.mux(packet)
    options = {"path": damaged, "truth": "none"}
    alone = load(DatasetRequest("d", options=options))
    assert len(alone.images) == FRAMES - 1
    assert alone.counts["damaged_packets"] == 1
    with pytest.raises(InputError, match=r"a packet after frame 10 is damaged, .* take the clip that was annotated"):
        load(with_truth(folder, damaged))


def test_a_clip_that_was_cut_says_so(tmp_path, folder):
    path = tmp_path / "cut.mkv"
    with av.open(str(folder / "clip.mp4")) as reader, av.open(str(path), "w") as sink:
        stream = sink.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                sink.mux(packet)
    whole = path.read_bytes()
    assert "missing_frames" not in load(DatasetRequest("d", options={"path": path})).counts
    path.write_bytes(whole[: len(whole) // 2])
    found = load(DatasetRequest("d", options={"path": path}))
    assert found.counts["missing_frames"] == FRAMES - len(found.images)
    with pytest.raises(InputError, match="its file says 40: is it cut"):
        load(with_truth(folder, path))


@pytest.mark.parametrize("content", [b"no video at all", b"\0" * 4096])
def test_what_is_no_video_is_one_error(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.mp4: not a video that PyAV can read"):
        read_clip(path)


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    with pytest.raises(DataError, match="it holds no video"):
        read_clip(path)


# ---------------------------------------------------------------------------------------------------------------- truth

GT = """\
1,7,11,21,30,40,1,1,1.0
1,8,1,1,10,10,0,1,0.2
2,7,12,21,30,40,1,1,1.0
2,9,50,50,20,20,0,8,1.0
2,4,90,90,9,9,0,3,1.0
3,7,13,21,30,0,1,1,1.0
"""


def request(folder, text=GT, **more):
    (folder / "gt.txt").write_text(text)
    options = {"path": folder / "clip.mp4", "truth": "mot", **more.pop("options", {})}
    return DatasetRequest("d", annotations=folder / "gt.txt", options=options, **more)


@pytest.fixture
def clip(tmp_path, folder):
    (tmp_path / "clip.mp4").write_bytes((folder / "clip.mp4").read_bytes())
    return tmp_path


def test_truth_of_motchallenge_by_hand(clip):
    found = load(request(clip))
    assert found.categories == ("person",)
    assert [image.id for image in found.images] == list(range(1, FRAMES + 1))
    first, second, third = (found.truth[number] for number in (1, 2, 3))
    assert first.boxes.tolist() == [[10, 20, 40, 60], [0, 0, 10, 10]]  # pixels count from 1 in the file
    assert first.iscrowd.tolist() == [False, True]  # the seventh column says what counts
    assert second.boxes.tolist() == [[11, 20, 41, 60], [49, 49, 69, 69]]
    assert second.iscrowd.tolist() == [False, True]  # a distractor is ignored; a car is none of the classes
    assert len(third.boxes) == 0
    assert found.counts["zero_area_boxes"] == found.counts["objects_of_other_classes"] == 1
    assert found.counts["crowds"] == 2
    assert found.counts["images_without_truth"] == FRAMES - 2


def test_classes_by_their_names_and_every_third_frame(clip):
    (clip / "names.txt").write_text("dog\ncat\nhen\n")
    text = "1,1,5,5,9,9,1,3,1\n4,1,6,5,9,9,1,1,1\n5,1,7,5,9,9,1,2,1\n"
    found = load(request(clip, text, labels=clip / "names.txt", options={"every": 3}, limit=4))
    assert found.categories == ("dog", "cat", "hen")
    assert [image.id for image in found.images] == [1, 4, 7, 10]
    assert [found.truth[number].labels.tolist() for number in (1, 4, 7)] == [[2], [0], []]
    assert found.images[1].moment.time_s == pytest.approx(0.3)


def test_boxes_without_a_class_are_persons(clip):
    found = load(request(clip, "1,3,10,10,5,5,1,-1,-1,-1\n"))
    assert found.categories == ("person",)
    assert len(found.truth[1].boxes) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1,1,5,5\nx,1,2,3,4,5\n0,1,2,3,4,5\n", ["numbered from 0", "gt.txt:1: 4 columns", "gt.txt:2: could not"]),
        ("1,1,nan,5,5,5,1,1,1\n", ["gt.txt:1: a number that is not finite"]),
        (f"{FRAMES + 1},1,5,5,9,9,1,1,1\n", [f"boxes up to frame {FRAMES + 1}, but"]),
        ("1,1,5,5,9,9,1,77,1\n", ["boxes of class 77, which MOT16 does not name"]),
        ("1,1,5,5,9,9,0,1,1\n", ["none of its 1 boxes counts"]),
        ("1,-1,5,5,9,9,0.9\n", ["gt.txt:1: track -1, as in a file of detections"]),
        ("1,2,5,5,9,9,1,1,1\n1,2,6,6,9,9,1,1,1\n", ["gt.txt:2: track 2 stands on frame 1 already, in line 1"]),
        ("1,99999999999999999999,1,1,5,5\n", ["gt.txt:1: a number that is not finite, or beyond 2^53"]),
        ("1,1,5,5,9,9,1,1.5,1\n", ["gt.txt:1: frame 1, track 1 and class 1.5 are no whole numbers"]),
        ("1 1 5 5 9 9\n2 1 5 5 9 9\n", ["no commas in it"]),
        ("", ["it has no line"]),
    ],
)
def test_a_truth_that_is_none_says_where(clip, text, told):
    with pytest.raises(InputError) as error:
        load(request(clip, text))
    for part in told:
        assert any(part in problem for problem in error.value.problems), error.value.problems


def test_every_wrong_key_is_told_at_once(tmp_path):
    with pytest.raises(InputError) as error:
        load(DatasetRequest("d", options={"truth": "coco", "every": 0}))
    assert len(error.value.problems) == 3
    with pytest.raises(InputError, match="truth: none"):
        load(DatasetRequest("d", labels=tmp_path, options={"path": __file__, "truth": "none"}))
    with pytest.raises(InputError, match="`annotations` is missing"):
        load(DatasetRequest("d", options={"path": __file__, "truth": "mot"}))


def as_coco_vid(folder, **changes):
    """What is in gt.txt as COCO's JSON of videos, among another video's frames."""
    rows = read_mot(folder / "gt.txt")
    size = {"width": 320, "height": 240}
    images = [
        {"id": 100 + number, "video_id": 7, "frame_id": number, "file_name": f"{number}.jpg", **size}
        for number in range(FRAMES)
    ]
    images.append({"id": 1, "video_id": 8, "frame_id": 0, "file_name": "x.jpg"})
    annotations = [
        {
            "id": number,
            "image_id": 99 + row.frame,
            "category_id": row.label,
            "bbox": [row.box[0], row.box[1], row.box[2] - row.box[0], row.box[3] - row.box[1]],
            "iscrowd": int(not row.counts),
            "instance_id": row.track,
        }
        for number, row in enumerate(rows, start=1)
    ]
    names = (folder / "labels.txt").read_text().split()
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    videos = [{"id": 7, "name": "clip"}, {"id": 8, "name": "other"}]
    document = {"videos": videos, "images": images, "annotations": annotations, "categories": categories}
    for key, change in changes.items():
        document[key] = change(document[key])
    return document


def test_coco_over_frames_is_what_motchallenge_is(tmp_path, folder):
    (tmp_path / "vid.json").write_text(json.dumps(as_coco_vid(folder)))
    clip, names = folder / "clip.mp4", folder / "labels.txt"
    mot = {"path": clip, "truth": "mot"}
    theirs = load(DatasetRequest("d", annotations=folder / "gt.txt", labels=names, options=mot))
    mine = load(DatasetRequest("d", annotations=tmp_path / "vid.json", options={"path": clip, "truth": "coco_vid"}))
    assert mine.images == theirs.images
    assert mine.categories == theirs.categories
    for number, found in theirs.truth.items():
        for field in ("boxes", "labels", "iscrowd", "tracks"):
            np.testing.assert_allclose(getattr(mine.truth[number], field), getattr(found, field))


def test_tracks_are_of_any_ids_and_of_all_objects_or_none(tmp_path, folder):
    def loaded(change):
        (tmp_path / "vid.json").write_text(json.dumps(as_coco_vid(folder, annotations=change)))
        options = {"path": folder / "clip.mp4", "truth": "coco_vid"}
        return load(DatasetRequest("d", annotations=tmp_path / "vid.json", options=options))

    def without(item):
        return {key: value for key, value in item.items() if key != "instance_id"}

    whole = loaded(lambda found: found)
    named = loaded(lambda found: [{**without(item), "track_id": f"t{item['instance_id']}"} for item in found])
    both = np.concatenate([np.stack([whole.truth[n].tracks, named.truth[n].tracks], axis=1) for n in whole.truth])
    assert len(np.unique(both, axis=0)) == len(np.unique(both[:, 0])) == len(np.unique(both[:, 1]))
    none = loaded(lambda found: [without(item) for item in found])
    assert none.times == {}
    assert "objects_without_track" not in none.counts
    some = loaded(lambda found: [item if item["id"] % 3 or item["iscrowd"] else without(item) for item in found])
    assert some.times == {}
    assert some.counts["objects_without_track"] > 10
    with pytest.raises(InputError, match=r"track 1 stands \d+ times on the image 100"):
        loaded(lambda found: [{**item, "instance_id": 1} for item in found])


def test_frames_that_are_not_listed_are_not_judged(tmp_path, folder):
    few = as_coco_vid(folder, images=lambda images: [image for image in images if image["frame_id"] % 4 == 0])
    ids = {image["id"] for image in few["images"]}
    few["annotations"] = [item for item in few["annotations"] if item["image_id"] in ids]
    (tmp_path / "vid.json").write_text(json.dumps(few))
    options = {"path": folder / "clip.mp4", "truth": "coco_vid"}
    found = load(DatasetRequest("d", annotations=tmp_path / "vid.json", options=options))
    assert [image.id for image in found.images] == list(range(1, FRAMES + 1, 4))


@pytest.mark.parametrize(
    ("changes", "options", "told"),
    [
        ({"videos": lambda _: []}, {}, "it has no list of `videos`"),
        ({"videos": lambda found: [{**item, "name": "a"} for item in found]}, {}, "0 of its 2 videos are called clip"),
        ({}, {"video": "nobody"}, "one of clip, other"),
        ({"images": lambda found: [{**item, "frame_id": None} for item in found]}, {}, "40 images have no `frame_id`"),
        ({"images": lambda found: [{**item, "frame_id": 0} for item in found]}, {}, "have the same `frame_id`"),
        ({"images": lambda found: [{**item, "frame_id": 99} for item in found]}, {}, "its last frame is 99, from 0 on"),
        ({"images": lambda found: [{**item, "width": 640} for item in found]}, {}, "frames are 640 × 240 pixels, but"),
        (
            {"annotations": lambda found: [{**item, "bbox": [v / 320 for v in item["bbox"]]} for item in found]},
            {},
            "box_unit: normalized",
        ),
        ({}, {"truth": "mot"}, "columns"),
    ],
)
def test_coco_over_frames_of_another_clip_says_what_is_wrong(tmp_path, folder, changes, options, told):
    (tmp_path / "vid.json").write_text(json.dumps(as_coco_vid(folder, **changes)))
    options = {"path": folder / "clip.mp4", "truth": "coco_vid", **options}
    with pytest.raises(InputError, match=told):
        load(DatasetRequest("d", annotations=tmp_path / "vid.json", options=options))


def test_the_drawn_clip_tells_what_is_on_it(folder):
    """Each object that is not hidden differs from the picture without it, and nothing else does."""
    found = read_mot(folder / "gt.txt")
    shown = list(render_clip(3, FRAMES))
    assert {row.frame for row in found} == set(range(1, FRAMES + 1))
    still = np.median([item.image for item in shown], axis=0)
    last = shown[-1]
    changed = np.abs(last.image.astype(float) - still).max(axis=2) > 40
    inside = np.zeros(changed.shape, bool)
    for row in (*found,):
        if row.frame == FRAMES:
            left, top, right, bottom = (round(number) for number in row.box)
            inside[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = True
    moved = np.zeros(changed.shape, bool)  # where an object stood for most of the clip the median shows it
    for item in shown:
        for left, top, right, bottom in np.rint(item.boxes).astype(int).clip(0).tolist():
            moved[top : bottom + 1, left : right + 1] = True
    assert changed[inside].mean() > 0.2
    assert not (changed & ~moved).any()


# ---------------------------------------------------------------------------------------------------------- corruptions


def seen(record, image, key, severity=3):
    pack, _ = key.split("/")
    scenario = next(item for item in read_scenarios(pack_file(pack))[0] if item.key == key)
    return corrupt(image, scenario, severity=severity, seed=draw_of(record, key, seed=0)).astype(int)


def test_dirt_stays_noise_flickers_and_an_image_is_as_ever(folder):
    records = load(DatasetRequest("d", options={"path": folder / "clip.mp4"})).images
    image = np.full((120, 160, 3), 128, np.uint8)
    first, later = records[0], records[20]
    for key in ("security_camera/dome_dirt", "sensor/bad_pixels"):
        assert np.array_equal(seen(first, image, key), seen(later, image, key)), key
    for key in ("noise/gaussian", "noise/shot"):
        one, other = seen(first, image, key) - 128, seen(later, image, key) - 128
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02, key
    still = dataclasses.replace(first, moment=None)
    assert np.array_equal(seen(still, image, "noise/gaussian"), seen(first, image, "noise/gaussian"))


def test_a_gain_follows_the_scene_with_half_a_second_s_delay(tmp_path):
    """The light of the second half, 0.0625 of white, is a quarter: the gain grows by four, but not at once."""
    images = [np.full((96, 128, 3), level, np.uint8) for level in (137, 71) for _ in range(20)]
    clip = read_clip(coded(tmp_path / "a.mp4", images, options={"crf": "1"}))
    settled = darker_than_usual(clip.frames)
    assert settled[39] / settled[19] == pytest.approx(4, rel=0.1)
    at_once, later = settled[20] / settled[19], settled[25] / settled[19]
    assert 1 < at_once < 1.4
    assert later == pytest.approx(1 / (1 - 0.75 * (1 - np.exp(-6 * 0.1 / 0.5))), rel=0.1)
    image = np.full((240, 320, 3), 71, np.uint8)
    usual, brighter = (gained(image, rng=np.random.default_rng(0), gain=30, darker=factor) for factor in (1.0, 4.0))
    assert brighter.mean() == pytest.approx(137, abs=2)
    ratio = light_of(brighter).std() / light_of(usual).std()
    assert ratio == pytest.approx(4, rel=0.05)
    records = load(DatasetRequest("d", options={"path": tmp_path / "a.mp4"})).images
    assert draw_of(records[39], "a/b", seed=0).darker == settled[39]
    still = dataclasses.replace(records[0], moment=None)
    assert draw_of(still, "a/b", seed=0).darker == 1.0


def test_rain_falls():
    """A drop that falls for so long is where its speed takes it; after a whole pass it comes in elsewhere."""
    from auditor.corruptions.air import Drops, _fallen
    from auditor.corruptions.depth import focal_px

    drops = Drops(np.array([2.0, 2.0]), np.array([1.0, 2.0]), np.array([[0.5, 0.1], [0.5, 0.1]]))
    after = _fallen(drops, np.array([0.3, 0.3]), lean=0.1, size=(640, 480))
    down = (after.places[:, 1] - drops.places[:, 1]) * 1.3 * 480
    across = (after.places[:, 0] - drops.places[:, 0]) * 1.2 * 640
    np.testing.assert_allclose(down, [0.3 * focal_px(640), 0.15 * focal_px(640)])
    np.testing.assert_allclose(across, 0.1 * down)
    again = _fallen(drops, np.full(2, 1.3 * 480 / focal_px(640) * np.array([1, 2])), lean=0.0, size=(640, 480))
    np.testing.assert_allclose(again.places[:, 1], 0.1)
    np.testing.assert_allclose(again.places[:, 0], (0.5 + 0.6180339887) % 1)


def test_rain_moves_over_frames_and_does_not_jump():
    image = np.full((240, 320, 3), 110, np.uint8)

    def at(time_s):
        return rain(image, rng=np.random.default_rng(0), rate=40, lamp=1.0, time_s=time_s).astype(float)

    assert np.array_equal(at(0.0), rain(image, rng=np.random.default_rng(0), rate=40, lamp=1.0))
    assert not np.array_equal(at(0.0), at(0.04))
    veil = np.median([at(step) for step in np.linspace(0, 1, 9)], axis=0)
    alike = [np.corrcoef((at(0.0) - veil).ravel(), (at(step) - veil).ravel())[0, 1] for step in (0.0005, 0.1)]
    assert alike[0] > 0.7 > 0.3 > alike[1]


# ------------------------------------------------------------------------------------------------------------ intervals


def test_blocks_cover_what_single_frames_do_not():
    """A series in which each frame is like the one before: the mean of the process lies in the 95 % interval from
    blocks in most of 200 runs, in that from single frames in about half."""
    rng = np.random.default_rng(1)
    within = {1: 0, 30: 0}
    for run in range(200):
        series = np.zeros(300)
        series[0] = rng.normal() / np.sqrt(1 - 0.9**2)
        for frame in range(1, 300):
            series[frame] = 0.9 * series[frame - 1] + rng.normal()
        for block in within:
            means = draw_weights(300, seed=run, resamples=300, block=block) @ series / 300
            ((low, high),) = expanded(means[:, np.newaxis], images=300 // block)
            within[block] += low <= 0 <= high
    assert within[30] >= 165
    assert within[1] < 120


def test_differences_and_means_over_scenarios_are_of_blocks_too():
    """With the same resamples, intervals are as much wider as Student's quantile for so few blocks."""

    def evaluated(scenario, severity, value, blocks):
        cell = Cell("m", "m", "float32", "cpu", scenario, severity)
        metrics = {"AP": MetricValue("AP", value, images=100)}
        result = CellResult.of(cell, status="ok", images=100, judged_by="AP", metrics=metrics, blocks=blocks)
        drawn = value + 0.02 * np.random.default_rng(severity).normal(size=400)
        return CellEvaluation(result, {"AP": drawn}, fixed={"AP": drawn})

    def widths(blocks):
        clean, noisy = evaluated("clean", 0, 0.6, blocks), evaluated("noise/shot", 1, 0.5, blocks)
        (apart,) = [value for value in difference(noisy, clean, against="clean") if value.interval is not None]
        samples = {
            (item.result.key, name): item.samples["AP"] for item in (clean, noisy) for name in ("AP", f"AP{FIXED}")
        }
        (summary,) = summarize([clean.result, noisy.result], judged_by={"m": "AP"}, samples=samples)
        found = [apart.interval, *(summary.metrics[name].interval for name in ("mPC", "rPC"))]
        return np.array([high - low for low, high in found])

    np.testing.assert_allclose(widths(5) / widths(None), quantile_of(5) / quantile_of(100))


def test_weights_of_blocks():
    weights = draw_weights(103, seed=4, resamples=2000, block=10)
    assert (weights.sum(axis=1) == 103).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1.0, atol=0.1)
    assert np.array_equal(draw_weights(9, seed=2), draw_weights(9, seed=2, block=1))


def test_a_block_is_two_seconds_and_few_blocks_say_nothing_of_chance(folder):
    whole = load(DatasetRequest("d", options={"path": folder / "clip.mp4"}))
    assert whole.block == 2 * RATE
    independent = {frames: Seen(np.arange(frames), frames, 0, 20).independent(frames) for frames in (40, 99, 100, 220)}
    assert independent == {40: 1, 99: 1, 100: 5, 220: 11}
    assert Seen(np.arange(3), 3, 0).independent(3) == 3
    moments = [dataclasses.replace(whole.images[0].moment, time_s=number / RATE) for number in range(400)]
    images = tuple(dataclasses.replace(whole.images[0], id=number, moment=one) for number, one in enumerate(moments))
    longer = dataclasses.replace(whole, images=images)
    assert longer.block == 2 * RATE
    stills = dataclasses.replace(whole, images=tuple(dataclasses.replace(image, moment=None) for image in whole.images))
    assert stills.block == 1


def test_thresholds_are_not_chosen_by_a_frame_s_neighbours():
    assert _folds(20, alike=True).tolist() == [number // 2 for number in range(20)]
    assert _folds(20, alike=False).tolist() == [number % 10 for number in range(20)]
    assert len(np.unique(_folds(4, alike=True))) == 4


# ------------------------------------------------------------------------------------------------------------ the audit

AUDIT = """\
name: clip
dataset: {format: video, path: clip.mp4, TRUTH}
models:
  - {name: m, path: detector.tflite, labels: labels.txt, input: {std: 255, resize: letterbox, pad: 114}POINT}
scenarios: [noise/gaussian]
severities: [2]
checks: {input_contract: false}
measure: {threads: []}
"""


@pytest.mark.parametrize("truth", ["truth: mot, annotations: gt.txt, labels: labels.txt", "truth: none, every: 2"])
def test_an_audit_of_a_clip(tmp_path, folder, truth):
    for name in ("clip.mp4", "gt.txt", "labels.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "detector.tflite").write_bytes(DEMO_MODEL.read_bytes())
    point = "" if "mot" in truth else ", operating_point: {threshold: 0.35}"
    (tmp_path / "audit.yaml").write_text(AUDIT.replace("TRUTH", truth).replace("POINT", point))
    run_audit(tmp_path / "audit.yaml", output=tmp_path / "out", executor="serial")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    record = result["datasets"]["default"]
    clean = next(cell for cell in result["cells"] if cell["scenario"] == "clean")
    assert clean["status"] == "ok"
    assert record["images"] == clean["images"] == (FRAMES if "mot" in truth else FRAMES // 2)
    assert clean["blocks"] == 1
    assert clean["metrics"].get("AP", {}).get("interval") is None
    page = (tmp_path / "out" / "report.html").read_text()
    assert "frames of a clip" in page
    assert ("Over the frames of the clip" in page) == ("mot" in truth)
    if "mot" in truth:
        told = " ".join(page.split())
        assert "40 frames, 320 × 240 pixels, 10 frames a second, h264" in told
        assert "too short for intervals" in told
        assert clean["metrics"]["AP"]["value"] > 0.5
        assert set(OVER_FRAMES) <= set(clean["metrics"])
        assert re.search(r"clip.mp4 frame \d+, \d\.\d\d s", page)
        assert "data.short_clip" in page
        where = tmp_path / "coco"
        done = CliRunner().invoke(main, ["export", str(tmp_path / "out"), "--to", "coco", "-o", str(where)])
        assert done.exit_code == 0, done.output
        (written,) = where.glob("truth*.json")
        options = {"path": tmp_path / "clip.mp4", "truth": "coco_vid"}
        again = load(DatasetRequest("d", annotations=written, options=options))
        for number, found in load(with_truth(tmp_path, tmp_path / "clip.mp4")).truth.items():
            mine, theirs = (np.argsort(truth.tracks) for truth in (again.truth[number], found))
            np.testing.assert_array_equal(again.truth[number].tracks[mine], found.tracks[theirs])
            np.testing.assert_allclose(again.truth[number].boxes[mine], found.boxes[theirs])


def test_a_folder_with_a_clip_is_known_and_its_frames_have_a_table(tmp_path, folder):
    found = detect_dataset(folder)
    assert found == {
        "format": "video",
        "path": folder / "clip.mp4",
        "truth": "mot",
        "annotations": folder / "gt.txt",
        "labels": folder / "labels.txt",
    }
    images = load(DatasetRequest("d", options={"path": folder / "clip.mp4"})).images
    (tmp_path / "frames.csv").write_text("frame,hour\n" + "".join(f"{image.id},{image.id // 10}\n" for image in images))
    table = load_table(tmp_path / "frames.csv", images)
    assert table == {"hour": tuple(str(image.id // 10) for image in images)}


def test_a_guarantee_is_refused_of_frames_that_are_alike(tmp_path, folder):
    for name in ("clip.mp4", "gt.txt", "labels.txt"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "detector.tflite").write_bytes(DEMO_MODEL.read_bytes())
    point = ", operating_point: {recall: {at_least: 0.8, confidence: 0.9}}"
    truth = "truth: mot, annotations: gt.txt, labels: labels.txt"
    (tmp_path / "audit.yaml").write_text(AUDIT.replace("TRUTH", truth).replace("POINT", point))
    with pytest.raises(InputError, match="frames of a clip are not"):
        run_audit(tmp_path / "audit.yaml", output=tmp_path / "out", executor="serial")


def test_the_demo_of_a_clip_can_be_run(tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "_FRAMES", 12)
    audit = clips.write_clip_example(tmp_path)
    found = CliRunner().invoke(main, ["run", str(audit), "-o", str(tmp_path / "out"), "--dry-run"])
    assert found.exit_code == 0, found.output
    assert str(12 * 2 * 9) in found.output
    broken = audit.read_text().replace("truth: mot, annotations: gt.txt, labels: labels.txt", "truth: none")
    audit.write_text(broken)
    found = CliRunner().invoke(main, ["run", str(audit), "-o", str(tmp_path / "out"), "--dry-run"])
    assert found.exit_code == 2
    assert "threshold" in found.output
