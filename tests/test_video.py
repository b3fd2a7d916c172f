"""A video as a data set: its frames, and the truth of a gt.txt and of COCO's JSON over frames."""

from __future__ import annotations

import json

import av
import cv2
import numpy as np
import pytest
from made_clips import FRAMES, coded, with_truth

from auditor.datasets.dataset import DatasetRequest
from auditor.datasets.formats.video import load
from auditor.datasets.mot_file import read_mot
from auditor.datasets.video_file import read_clip, read_frame
from auditor.demo.clips import RATE, SIZE, render_clip, write_clip
from auditor.errors import DataError, InputError
from auditor.values import Meant


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip with its gt.txt and the names of its classes."""
    place = tmp_path_factory.mktemp("video")
    write_clip(place, 3, FRAMES)
    return place


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
    assert shown.about["size"] == f"{SIZE[1]} × {SIZE[0]}"
    assert stored.about["size"] == f"{SIZE[0]} × {SIZE[1]}"
    assert "turned" not in stored.about


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


def test_text_and_single_pictures_are_no_clips(tmp_path, folder):
    """FFmpeg opens both, the text as a film of a terminal."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 60, 3), np.uint8))
    with pytest.raises(DataError, match=r"gt\.txt: no video, but text"):
        read_clip(folder / "gt.txt")
    with pytest.raises(DataError, match=r"a\.png: no video, but a single image"):
        read_clip(tmp_path / "a.png")


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


@pytest.mark.parametrize(
    ("frames", "options", "told"),
    [
        (range(1, FRAMES + 1), {}, {}),
        (range(1, FRAMES + 1, 5), {}, {"boxes_on_every": 5}),
        (range(1, FRAMES + 1, 5), {"every": 5}, {}),
        ((1, 2, 9, 30, 40), {}, {}),
        (range(1, 11), {}, {"last_box_on": 10}),
        (range(2, 30, 3), {}, {"boxes_on_every": 3, "last_box_on": 29}),
    ],
)
def test_a_truth_of_a_part_of_the_frames_is_told(clip, frames, options, told):
    text = "".join(f"{number},7,11,21,30,40,1,1,1.0\n" for number in frames)
    about = load(request(clip, text, options=options)).about
    assert {key: about[key] for key in ("boxes_on_every", "last_box_on") if key in about} == told
    if "last_box_on" in told:
        assert "last_box_on" not in load(request(clip, text, options=options, limit=told["last_box_on"])).about


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
        ("1,1,0.1,0.2,0.5,0.6,1,1,1\n", ["all its boxes lie between 0 and 1"]),
        ("1,1,5,5,-9,9,1,1,1\n", ["none of its 1 boxes has a width and a height above 0"]),
        ("1,1,900,5,9,9,1,1,1\n", ["all its 1 boxes lie outside of the picture"]),
        ("1,1,200,150,280,220,1,1,1\n2,1,9,9,20,20,1,1,1\n", ["50% of its boxes reach beyond", "right and bottom"]),
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


def from_one(image):
    """Frames that are counted from 1, of a clip with one more."""
    number = image["frame_id"] + 1
    return {**image, "frame_id": number, "video_id": 7 if number < FRAMES and image["video_id"] == 7 else 8}


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
        ({"images": lambda found: [from_one(item) for item in found]}, {}, "go from 1 to 39 without one between"),
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
