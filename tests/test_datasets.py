"""Data set formats: one set in three forms gives one truth; bad files are told all at once, with file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from auditor import extensions
from auditor.datasets.dataset import DatasetRequest
from auditor.datasets.detect import detect_dataset
from auditor.datasets.image_files import read_record
from auditor.datasets.shared_classes import match_classes
from auditor.errors import InputError

SIZES = [(64, 48), (40, 80), (50, 50)]
NAMES = ["cat", "dog"]
BOXES = [
    [(0, (4.0, 6.0, 20.0, 30.0)), (1, (30.0, 2.0, 63.0, 40.0))],
    [(1, (0.5, 10.0, 33.25, 70.0))],
    [],
]


def load(format, **request):
    return extensions.resolve("datasets", format).load(DatasetRequest("d", **request))


def write_images(folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    paths = []
    for index, (width, height) in enumerate(SIZES):
        paths.append(folder / f"im{index}.png")
        cv2.imwrite(str(paths[-1]), rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
    return paths


def yolo_line(label, box, size):
    width, height = size
    values = [
        (box[0] + box[2]) / 2 / width,
        (box[1] + box[3]) / 2 / height,
        (box[2] - box[0]) / width,
        (box[3] - box[1]) / height,
    ]
    return " ".join([str(label), *(repr(value) for value in values)])


def write_yolo(folder: Path) -> Path:
    """The layout of Ultralytics: images/val, labels/val, data.yaml."""
    for path, boxes, size in zip(write_images(folder / "images" / "val"), BOXES, SIZES, strict=True):
        label = folder / "labels" / "val" / f"{path.stem}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        if boxes:
            label.write_text("\n".join(yolo_line(name, box, size) for name, box in boxes) + "\n")
    (folder / "data.yaml").write_text("path: .\nval: images/val\nnames: {0: cat, 1: dog}\n")
    return folder / "data.yaml"


def write_coco(folder: Path) -> Path:
    write_images(folder / "images")
    images = [{"id": i + 1, "file_name": f"im{i}.png", "width": w, "height": h} for i, (w, h) in enumerate(SIZES)]
    annotations = [
        {"id": 10 * i + n, "image_id": i + 1, "category_id": label, "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]]}
        for i, boxes in enumerate(BOXES)
        for n, (label, b) in enumerate(boxes, start=1)
    ]
    document = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": n} for i, n in enumerate(NAMES)],
    }
    (folder / "instances.json").write_text(json.dumps(document))
    return folder / "instances.json"


def voc_xml(name, size, objects, shift=0.0):
    """Objects with their parts in another order than the devkit's, which XML allows."""
    parts = "".join(
        f"<object><bndbox><ymax>{b[3]}</ymax><xmin>{b[0] + shift}</xmin>"
        f"<ymin>{b[1] + shift}</ymin><xmax>{b[2]}</xmax></bndbox>"
        f"<difficult>{difficult}</difficult><name>{NAMES[label]}</name></object>"
        for label, b, difficult in objects
    )
    sizes = f"<size><depth>3</depth><height>{size[1]}</height><width>{size[0]}</width></size>"
    return f"<annotation>{parts}{sizes}<filename>{name}</filename></annotation>"


def write_voc(folder: Path, *, difficult: int = 0, shift: float = 0.0) -> Path:
    (folder / "Annotations").mkdir(parents=True)
    for path, boxes, size in zip(write_images(folder / "JPEGImages"), BOXES, SIZES, strict=True):
        objects = [(label, box, difficult) for label, box in boxes]
        (folder / "Annotations" / f"{path.stem}.xml").write_text(voc_xml(path.name, size, objects, shift))
    return folder / "Annotations"


def test_one_set_in_three_forms_has_one_truth(tmp_path):
    coco = load("coco", images=tmp_path / "c" / "images", annotations=write_coco(tmp_path / "c"))
    yolo = load("yolo", annotations=write_yolo(tmp_path / "y"))
    zero = load("voc", annotations=write_voc(tmp_path / "v"))
    one = load("voc", annotations=write_voc(tmp_path / "w", shift=1.0))
    assert (zero.about["pixels_counted_from"], one.about["pixels_counted_from"]) == (0, 1)
    for other in (yolo, zero, one):
        assert other.categories == coco.categories
        assert [(image.path.name, image.size, image.sha256) for image in other.images] == [
            (image.path.name, image.size, image.sha256) for image in coco.images
        ]
        for image in coco.images:
            np.testing.assert_allclose(other.truth[image.id].boxes, coco.truth[image.id].boxes, atol=1e-9)
            np.testing.assert_allclose(other.truth[image.id].area, coco.truth[image.id].area, atol=1e-6)
            assert other.truth[image.id].labels.tolist() == coco.truth[image.id].labels.tolist()


@pytest.mark.parametrize("form", ["yaml", "other name", "folder", "darknet", "bare", "flat", "images"])
def test_the_layouts_of_yolo(tmp_path, form):
    data = write_yolo(tmp_path)
    labels = tmp_path / "labels" / "val"
    request = {"annotations": data}
    if form == "other name":
        request = {"annotations": data.rename(tmp_path / "street.yml")}
    elif form == "folder":
        request = {"annotations": tmp_path}
    elif form == "darknet":
        (tmp_path / "obj.names").write_text("cat\ndog\n\n")
        (tmp_path / "valid.txt").write_text(
            "".join(f"data/obj/../../images/val/im{i}.png\n" if i else "images/val/im0.png\n" for i in range(3))
        )
        (tmp_path / "obj.data").write_text("classes = 2\nvalid = data/valid.txt\nnames = data/obj.names\nbackup = x/\n")
        (tmp_path / "data" / "obj").mkdir(parents=True)
        request = {"annotations": tmp_path / "obj.data"}
    elif form == "bare":
        (labels / "classes.txt").write_text("cat\ndog\n")
        request = {"annotations": labels, "images": tmp_path / "images"}
    elif form == "flat":
        for path in labels.iterdir():
            path.rename(tmp_path / "images" / "val" / path.name)
    elif form == "images":
        data.write_text("path: /elsewhere\nval: gone/val\nnames: [cat, dog]\n")
        (tmp_path / "images").rename(tmp_path / "pictures")
        request = {"annotations": data, "images": tmp_path / "pictures"}
    found = load("yolo", **request)
    assert [len(found.truth[image.id].labels) for image in found.images] == [2, 1, 0]
    assert found.counts["images_without_truth"] == 1


def test_links_are_followed_and_polygons_become_boxes(tmp_path):
    data = write_yolo(tmp_path / "real")
    (tmp_path / "real" / "labels" / "val" / "im2.txt").write_text("1 0.1 0.2 0.5 0.2 0.5 0.8\n")
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real" / "images" / "loop").symlink_to(tmp_path / "real" / "images", target_is_directory=True)
    data.write_text("val: images\nnames: [cat, dog]\n")
    found = load("yolo", annotations=tmp_path / "link" / "data.yaml")
    assert found.counts["polygons"] == 1
    polygon = next(found.truth[image.id] for image in found.images if image.path.name == "im2.png")
    np.testing.assert_allclose(polygon.boxes, [[5, 10, 25, 40]])


def test_bad_yolo_lines_are_told_all_at_once(tmp_path):
    data = write_yolo(tmp_path)
    file = tmp_path / "labels" / "val" / "im0.txt"
    file.write_text("0 0.5 0.5 0.1 0.1\n0 0.5 oops 0.1 0.1\n7 0.5 0.5 0.1 0.1\n0 20 30 10 10\n0 0.5 0.5\n")
    with pytest.raises(InputError) as caught:
        load("yolo", annotations=data)
    problems = caught.value.problems
    assert [problem.split(": ")[0] for problem in problems] == [f"{file}:{line}" for line in (2, 3, 4, 5)]
    assert "class 7, but only 2 are named" in problems[1]
    assert "fractions" in problems[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("val: images/val\n", "expected the class names"),
        ("names: [a]\nnc: 3\nval: images/val\n", "nc is 3 but there are 1 names"),
        ("names: [a]\ntrain: images/val\n", "no images for the split 'val' \\(it has train\\)"),
        ("names: [a]\nval: absent\n", "absent is neither there nor beside data.yaml"),
    ],
)
def test_bad_data_yaml(tmp_path, text, expected):
    data = write_yolo(tmp_path)
    data.write_text(text)
    with pytest.raises(InputError, match=expected):
        load("yolo", annotations=data)


def test_difficult_objects_are_crowds_and_counted(tmp_path):
    found = load("voc", annotations=write_voc(tmp_path, difficult=1))
    assert found.counts["difficult_objects"] == 3
    assert all(found.truth[image.id].iscrowd.all() for image in found.images)


def test_bad_voc_files_are_told_all_at_once(tmp_path):
    folder = write_voc(tmp_path)
    (folder / "bomb.xml").write_text('<!DOCTYPE a [<!ENTITY x "ha">]><annotation>&x;</annotation>')
    (folder / "im1.xml").write_text("<annotation><object><name>cat</name></object></annotation>")
    (folder / "im2.xml").write_text("<annotation>\n<object>")
    with pytest.raises(InputError) as caught:
        load("voc", annotations=folder)
    text = "\n".join(caught.value.problems)
    assert "bomb.xml: refused, since it defines entities" in text
    assert "im1.xml: object 1 (cat) has no number in <bndbox>: xmin, ymin, xmax, ymax" in text
    assert "im2.xml:2: not valid XML" in text


def write_idx(path: Path, array: np.ndarray, *, compressed: bool = False) -> Path:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if compressed else content)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_idx_files(tmp_path, compressed):
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 9), dtype=np.uint8)
    images = write_idx(tmp_path / "images", pixels, compressed=compressed)
    labels = write_idx(tmp_path / "labels", np.array([3, 0, 1, 2, 3]), compressed=compressed)
    found = load("idx", images=images, labels=labels, limit=4)
    assert (found.task, found.categories, len(found.images)) == ("classification", ("0", "1", "2", "3"), 4)
    assert [int(found.truth[image.id].labels[0]) for image in found.images] == [3, 0, 1, 2]
    assert (read_record(found.images[2]) == pixels[2][..., np.newaxis]).all()
    assert found.images[2].size == (9, 7)


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        (b"\0\0\x0d\x03", None, "not an IDX file of unsigned bytes"),
        (b"\0\0\x08\x01\0\0\0\x05abc", None, "its header says 5 bytes, but 3 follow"),
        (None, np.array([1, 2]), "has 3 images but .* has 2 labels"),
        (None, None, "`labels` is missing"),
    ],
)
def test_bad_idx_files(tmp_path, images, labels, expected):
    write_idx(tmp_path / "images", np.zeros((3, 4, 4)))
    if images is not None:
        (tmp_path / "images").write_bytes(images)
    request = {"images": tmp_path / "images"}
    if images is not None or labels is not None:
        request["labels"] = write_idx(tmp_path / "labels", np.array([0, 1, 2]) if labels is None else labels)
    with pytest.raises(InputError, match=expected):
        load("idx", **request)


def test_class_folders(tmp_path):
    for name, count in (("zebra", 3), ("ant", 2)):
        (tmp_path / name / "deep").mkdir(parents=True)
        for index in range(count):
            cv2.imwrite(str(tmp_path / name / "deep" / f"{index}.png"), np.full((4, 4, 3), index, dtype=np.uint8))
    (tmp_path / "notes.txt").write_text("x")
    found = load("folders", images=tmp_path, limit=4)
    assert found.categories == ("ant", "zebra")
    assert [int(found.truth[image.id].labels[0]) for image in found.images] == [0, 1, 0, 1]
    assert found.counts["files_beside_the_classes"] == 1
    (tmp_path / "empty").mkdir()
    (tmp_path / "void").mkdir()
    with pytest.raises(InputError) as caught:
        load("folders", images=tmp_path)
    assert len(caught.value.problems) == 2
    assert "this class has no image" in caught.value.problems[0]


def test_aliases_are_followed_only_where_the_name_itself_is_absent():
    assert match_classes(["airplane", "tv"], ["aeroplane", "tvmonitor"]).aliases == (
        ("airplane", "aeroplane"),
        ("tv", "tvmonitor"),
    )
    assert match_classes(["aeroplane", "airplane"], ["airplane"]).to_category == (None, 0)


def test_images_of_one_name_take_the_labels_of_their_own_folder(tmp_path):
    write_yolo(tmp_path / "set")
    for place, line in (("a", "0 0.5 0.5 0.2 0.2\n"), ("b", "1 0.5 0.5 0.2 0.2\n1 0.2 0.2 0.1 0.1\n")):
        write_images(tmp_path / "set" / "images" / place)
        (tmp_path / "set" / "labels" / place).mkdir()
        (tmp_path / "set" / "labels" / place / "im0.txt").write_text(line)
    found = load("yolo", annotations=tmp_path / "set" / "data.yaml", images=tmp_path / "set" / "images")
    counts = {
        f"{image.path.parent.name}/{image.path.name}": len(found.truth[image.id].labels) for image in found.images
    }
    assert (counts["a/im0.png"], counts["b/im0.png"], counts["val/im0.png"]) == (1, 2, 2)
    (tmp_path / "set" / "images" / "a").rename(tmp_path / "set" / "images" / "elsewhere")
    moved = load("yolo", annotations=tmp_path / "set" / "data.yaml", images=tmp_path / "set" / "images")
    (image,) = [image for image in moved.images if image.path.parts[-2:] == ("elsewhere", "im0.png")]
    assert len(moved.truth[image.id].labels) == 1  # the one label file of its name that is no other image's
    (tmp_path / "set" / "images" / "b").rename(tmp_path / "set" / "images" / "there")
    with pytest.raises(InputError, match="2 label files have its name"):
        load("yolo", annotations=tmp_path / "set" / "data.yaml", images=tmp_path / "set" / "images")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("names: [cat, dog]\nval: images/val\nkpt_shape: [17, x]\n", "kpt_shape: expected two whole numbers"),
        ("names: [cat, dog]\nval: list.bin\n", "cannot be read as a list of images"),
    ],
)
def test_odd_data_yaml_is_no_traceback(tmp_path, text, expected):
    data = write_yolo(tmp_path)
    (tmp_path / "list.bin").write_bytes(b"\xff\xfe\x00")
    data.write_text(text)
    with pytest.raises(InputError, match=expected):
        load("yolo", annotations=data)


def test_odd_files_are_no_traceback(tmp_path):
    write_yolo(tmp_path / "y")
    (tmp_path / "y" / "obj.data").write_text("valid = images/val\nnames = labels\n")
    with pytest.raises(InputError, match="expected a file of class names"):
        load("yolo", annotations=tmp_path / "y" / "obj.data")
    folder = write_voc(tmp_path / "v")
    (folder / "im0.xml").write_bytes(b'<?xml version="1.0" encoding="foobar"?><annotation/>')
    with pytest.raises(InputError, match=r"im0\.xml"):
        load("voc", annotations=folder)
    write_idx(tmp_path / "images", np.zeros((4, 0, 0)))
    with pytest.raises(InputError, match="it holds no image"):
        load("idx", images=tmp_path / "images", labels=write_idx(tmp_path / "labels", np.zeros(4)))


def test_a_single_image_may_stand_for_a_split(tmp_path):
    data = write_yolo(tmp_path)
    data.write_text("names: [cat, dog]\nval: images/val/im0.png\n")
    assert len(load("yolo", annotations=data).images) == 1


def test_formats_are_told_from_a_folder(tmp_path):
    write_yolo(tmp_path / "yolo")
    write_coco(tmp_path / "coco")
    write_voc(tmp_path / "voc")
    for name in ("images.idx", "labels.idx"):
        (tmp_path / "idx").mkdir(exist_ok=True)
        (tmp_path / "idx" / name).write_bytes(b"")
    for split in ("train", "val"):
        for kind in ("ant", "bee"):
            write_images(tmp_path / "folders" / split / kind)
    write_images(tmp_path / "bare" / "images")
    (tmp_path / "bare" / "labels").mkdir()
    (tmp_path / "bare" / "labels" / "im0.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "bare" / "labels" / "classes.txt").write_text("cat\n")
    (tmp_path / "voc" / "audit.yaml").write_text("name: x\nmodels: []   # names\n")
    (tmp_path / "voc" / "odd.json").write_text('{"images": {"a": 1}, "annotations": [], "categories": []}')
    for name, expected in (
        ("yolo", "yolo"),
        ("coco", "coco"),
        ("voc", "voc"),
        ("idx", "idx"),
        ("folders", "folders"),
        ("bare", "yolo"),
    ):
        assert detect_dataset(tmp_path / name)["format"] == expected
    assert detect_dataset(tmp_path / "folders")["images"] == tmp_path / "folders" / "val"
    with pytest.raises(InputError, match="no known data set there"):
        detect_dataset(tmp_path / "yolo" / "labels" / "val")
