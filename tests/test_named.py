"""Names: of images as exporters write them, of classes in label files of every form, of one class under two names."""

from __future__ import annotations

import dataclasses
import json
import re
import unicodedata
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from made_results import DATASET, codes, made_result, model, only
from made_sets import scenes, write_coco, write_image, write_voc, write_yolo

from auditor import extensions
from auditor.datasets.canonical import in_canonical_order
from auditor.datasets.dataset import Dataset, DatasetRequest
from auditor.datasets.named_files import find_named
from auditor.datasets.shared_classes import match_classes
from auditor.demo.scenes import CLASSES
from auditor.errors import InputError, ModelError
from auditor.judge.classes import check_labels
from auditor.judge.data import check_data
from auditor.resolve.labels import load_labels
from auditor.values.label_lists import parse_labels

FOUND = scenes(4)


def load(form: str, **request) -> Dataset:
    found: Dataset = extensions.resolve("datasets", form).load(DatasetRequest("d", **request))
    return found


def truth(dataset: Dataset):
    """The truth of each image by its content."""
    return {
        image.sha256: sorted(
            (dataset.categories[label], *box)
            for label, box in zip(
                dataset.truth[image.id].labels.tolist(), dataset.truth[image.id].boxes.tolist(), strict=True
            )
        )
        for image in in_canonical_order(dataset).images
    }


# ----------------------------------------------------------------------------------------------- names of images


@pytest.mark.parametrize(
    ("stands", "written"),
    [
        ("a/b.png", "a\\b.png"),
        ("b.png", "C:\\Users\\x\\b.png"),
        ("a b.png", "a%20b.png"),
        ("a/b c.png", "a%2Fb%20c.png"),
        ("sub/b.png", "/data/local-files/?d=sub/b.png"),
        ("b c.png", "/data/local-files/?d=exports%5Cb%20c.png"),
        ("b.png", "http://localhost:8080/data/upload/3/b.png"),
        ("b.png", "file:///home/x/b.png"),
        ("b.png", "./b.png"),
        (unicodedata.normalize("NFD", "größe é.png"), unicodedata.normalize("NFC", "größe é.png")),
        (unicodedata.normalize("NFC", "größe é.png"), unicodedata.normalize("NFD", "größe é.png")),
        ("100%.png", "100%.png"),
        ("b?d=c.png", "b?d=c.png"),
        ("b.PNG", "b.png"),
        ("a/b.png", "D:\\sets\\2024\\a\\b.png"),
        ("a/b.png", "/data/local-files/?d=project%2Fa%2Fb.png"),
        ("b.png", "images/b.png?x=1"),
        ("b.png", "/data/upload/3/abc12345-b.png"),
        ("b.png", "\\\\server[1]\\share\\b.png"),
        ("b.png", "//[a]/b.png"),
    ],
)
def test_one_file_has_many_spellings(tmp_path, stands, written):
    path = tmp_path / stands
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    assert find_named(tmp_path, written) == path
    assert find_named(tmp_path, "another.png") is None
    assert find_named(tmp_path, "b\0.png") is None


def test_a_folder_is_no_image(tmp_path):
    (tmp_path / "images" / "B.png").mkdir(parents=True)
    for name in ("b.png", "/data/local-files/?d=a/gone.png", "/images/"):
        assert find_named(tmp_path / "images", name) is None


@pytest.mark.parametrize("spell", [lambda n: f"images\\{n}", lambda n: n.replace("0", "%30"), lambda n: f"?d={n}"])
def test_coco_names_are_found_however_they_are_spelled(tmp_path, spell):
    write_coco(tmp_path, FOUND)
    places = {"images": tmp_path / "images", "annotations": tmp_path / "instances.json"}
    sound = truth(load("coco", **places))
    document = json.loads((tmp_path / "instances.json").read_text())
    for image in document["images"]:
        image["file_name"] = spell(image["file_name"])
    (tmp_path / "instances.json").write_text(json.dumps(document))
    assert truth(load("coco", **places)) == sound


def test_ids_may_be_whole_numbers_with_a_point_and_roots_are_left_out(tmp_path):
    write_coco(tmp_path, FOUND)
    places = {"images": tmp_path / "images", "annotations": tmp_path / "instances.json"}
    sound = truth(load("coco", **places))
    document = json.loads((tmp_path / "instances.json").read_text())
    for image in document["images"]:
        image["id"] = float(image["id"])
    for annotation in document["annotations"]:
        annotation["image_id"], annotation["category_id"] = (
            float(annotation["image_id"]),
            annotation["category_id"] * 1.0,
        )
    document["categories"].insert(0, {"id": 0, "name": CLASSES[0], "supercategory": "none"})
    (tmp_path / "instances.json").write_text(json.dumps(document))
    dataset = load("coco", **places)
    assert truth(dataset) == sound
    assert len(dataset.categories) == len(CLASSES)
    document["annotations"][0]["image_id"] = 1.5
    (tmp_path / "instances.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="no valid `image_id`"):
        load("coco", **places)
    document["annotations"][0].update(image_id=1.0, category_id=0)
    (tmp_path / "instances.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="these names stand twice: ball"):
        load("coco", **places)


# --------------------------------------------------------------------------------------- two sources, one image


def test_a_filename_of_another_image_is_an_error_that_names_both(tmp_path):
    """The issue's: images of one size renamed after they were annotated."""
    write_voc(tmp_path, FOUND)
    xml = sorted((tmp_path / "Annotations").iterdir())
    first, second = (path.with_suffix(".png").name for path in xml[:2])
    xml[0].write_text(xml[0].read_text().replace(first, second))
    with pytest.raises(InputError) as caught:
        load("voc", annotations=tmp_path / "Annotations")
    (problem,) = caught.value.problems
    assert str(tmp_path / "JPEGImages" / first) in problem
    assert str(tmp_path / "JPEGImages" / second) in problem


def test_one_image_of_two_files_of_annotations_is_an_error_that_names_both(tmp_path):
    write_voc(tmp_path, FOUND)
    xml = sorted((tmp_path / "Annotations").iterdir())
    first, second = (path.with_suffix(".png").name for path in xml[:2])
    (tmp_path / "JPEGImages" / first).unlink()
    xml[0].write_text(xml[0].read_text().replace(first, second))
    with pytest.raises(InputError) as caught:
        load("voc", annotations=tmp_path / "Annotations")
    (problem,) = caught.value.problems
    assert str(xml[0]) in problem
    assert str(xml[1]) in problem


@pytest.mark.parametrize("change", ["gone", "other suffix", "folder", "windows", "none"])
def test_names_that_agree_or_lead_nowhere_are_fine(tmp_path, change):
    write_voc(tmp_path, FOUND)
    sound = truth(load("voc", annotations=tmp_path / "Annotations"))
    for path in (tmp_path / "Annotations").iterdir():
        name = path.with_suffix(".png").name
        other = {
            "gone": "IMG_0001.png",
            "other suffix": name.replace(".png", ".jpg"),
            "folder": f"train/{name}",
            "windows": f"D:\\set\\{name}",
            "none": "",
        }[change]
        path.write_text(path.read_text().replace(f"<filename>{name}", f"<filename>{other}"))
    assert truth(load("voc", annotations=tmp_path / "Annotations")) == sound


def test_two_label_files_of_one_image_must_agree(tmp_path):
    write_yolo(tmp_path, FOUND)
    sound = truth(load("yolo", annotations=tmp_path / "data.yaml"))
    for path in (tmp_path / "labels" / "val").iterdir():
        (tmp_path / "images" / "val" / path.name).write_bytes(path.read_bytes())
    assert truth(load("yolo", annotations=tmp_path / "data.yaml")) == sound
    beside = next((tmp_path / "images" / "val").glob("*.txt"))
    beside.write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(InputError) as caught:
        load("yolo", annotations=tmp_path / "data.yaml")
    assert str(beside) in caught.value.problems[0]
    assert str(tmp_path / "labels" / "val" / beside.name) in caught.value.problems[0]


# ----------------------------------------------------------------------------------------------- forms of files


@pytest.mark.parametrize(
    "yaml",
    [
        "val: ../valid/images\nnames: {names}",  # Roboflow's
        "path: ../datasets/x\nval: ../valid/images\nnames: {names}",
        "val: .\\valid\\images\nnames: {names}",
        "val: valid/images\nnames: {{{quoted}}}",
        "val: valid/images\nnames: {{{numbered}}}",
    ],
)
def test_forms_of_data_yaml(tmp_path, yaml):
    write_yolo(tmp_path / "plain", FOUND)
    sound = truth(load("yolo", annotations=tmp_path / "plain" / "data.yaml"))
    place = tmp_path / "set"
    for kind in ("images", "labels"):
        (place / "valid").mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / kind / "val").rename(place / "valid" / kind)
    text = yaml.format(
        names=json.dumps(list(CLASSES)),
        quoted=", ".join(f'"{index}": {name}' for index, name in enumerate(CLASSES)),
        numbered=", ".join(f"{index}: {name}" for index, name in enumerate(CLASSES)),
    )
    (place / "data.yaml").write_text(text)
    assert truth(load("yolo", annotations=place / "data.yaml")) == sound


def test_a_byte_order_mark_before_rows(tmp_path):
    write_yolo(tmp_path, FOUND)
    sound = truth(load("yolo", annotations=tmp_path / "data.yaml"))
    for path in (tmp_path / "labels" / "val").iterdir():
        path.write_text(path.read_text(), encoding="utf-8-sig")
    assert truth(load("yolo", annotations=tmp_path / "data.yaml")) == sound


@pytest.mark.parametrize("names", ["classes.txt", "notes.json"])
def test_a_folder_of_label_studio(tmp_path, names):
    write_yolo(tmp_path / "plain", FOUND)
    sound = truth(load("yolo", annotations=tmp_path / "plain" / "data.yaml"))
    export = tmp_path / "export"
    export.mkdir()
    for kind in ("images", "labels"):
        (tmp_path / "plain" / kind / "val").rename(export / kind)
    if names == "classes.txt":
        (export / names).write_text("\n".join(CLASSES) + "\n")
    notes = {"categories": [{"id": index, "name": name} for index, name in enumerate(CLASSES)], "info": {}}
    (export / "notes.json").write_text(json.dumps(notes))
    assert truth(load("yolo", annotations=export)) == sound


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("gb18030", b""), ("shift_jis", b""), ("utf-16", b""), ("euc-jp", b""), ("utf-8", b"\xef\xbb\xbf")],
)
def test_xml_in_declared_encodings(tmp_path, encoding, mark):
    image, found = FOUND[0]
    write_voc(tmp_path, [(image, found)])
    (path,) = (tmp_path / "Annotations").iterdir()
    text = path.read_text().replace(f"<name>{CLASSES[found.labels[0]]}", "<name>自転車")
    path.write_bytes(mark + f'<?xml version="1.0" encoding="{encoding}"?>\n{text}'.encode(encoding))
    assert "自転車" in load("voc", annotations=tmp_path / "Annotations").categories


def test_xml_with_a_namespace(tmp_path):
    write_voc(tmp_path, FOUND)
    sound = truth(load("voc", annotations=tmp_path / "Annotations"))
    for path in (tmp_path / "Annotations").iterdir():
        root = ET.fromstring(path.read_text())
        root.set("xmlns", "http://example.org/voc")
        path.write_bytes(ET.tostring(root))
    assert truth(load("voc", annotations=tmp_path / "Annotations")) == sound


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("cat\ntraffic light\n???\n", ("cat", "traffic light", None)),
        ("0  cat\n2  traffic light\n", ("cat", None, "traffic light")),
        ("0: cat\n1: dog", ("cat", "dog")),
        ("1,cat\n3,dog", (None, "cat", None, "dog")),
        ("0\n1\n2\n", ("0", "1", "2")),
        ("2 door\n4 door\n", ("2 door", "4 door")),
        ('item {\n  id: 1\n  name: "cat"\n}\nitem {\n  id: 3\n  name: "dog"\n}\n', (None, "cat", None, "dog")),
        ("item { name: '/m/01' id: 1 display_name: 'cat' }", (None, "cat")),
        ('["cat", "dog"]', ("cat", "dog")),
        ('{"0": "cat", "2": "dog"}', ("cat", None, "dog")),
        ('{"cat": 0, "dog": 1}', ("cat", "dog")),
        ('{"id2label": {"0": "cat"}}', ("cat",)),
        ('{"names": ["cat", "dog"]}', ("cat", "dog")),
        ('{"0": ["n01", "cat"], "1": ["n02", "dog"]}', ("cat", "dog")),
        ('[{"id": 1, "name": "cat"}]', (None, "cat")),
        ('{"0": {"name": "cat"}, "1": {"name": "dog"}}', ("cat", "dog")),
        ('# made by a tool\nitem { id: 1 name: "cat" }', (None, "cat")),
        ("1 cent\n2 cent\n5 cent\n", ("1 cent", "2 cent", "5 cent")),
        ("cat\t0\ndog\t1\n", ("cat", "dog")),
        ("0. cat\n1. dog\n", ("cat", "dog")),
        ('"cat"\n"dog"\n', ("cat", "dog")),
        ("cat\n\ndog\n", ("cat", "dog")),
    ],
)
def test_forms_of_label_files(tmp_path, text, labels):
    assert parse_labels(text) == labels
    for encoding in ("utf-8-sig", "utf-16", "utf-8"):
        (tmp_path / "labels").write_text(text, encoding=encoding)
        assert load_labels("labels", tmp_path / "labels") == labels


@pytest.mark.parametrize(
    ("text", "said"),
    [("{oops", "begins as JSON"), ('{"a": "b"}', "expected a list of names"), ("item { id: 1 }", "no name")],
)
def test_bad_label_files_are_told(tmp_path, text, said):
    (tmp_path / "labels").write_text(text)
    with pytest.raises(ModelError, match=said):
        load_labels("labels", tmp_path / "labels")


# ---------------------------------------------------------------------------------------------- names of classes


@pytest.mark.parametrize(
    ("label", "category"),
    [
        ("tench, Tinca tinca", "tench"),
        ("tench", "tench, Tinca tinca"),
        ("n01440764 tench, Tinca tinca", "tench"),
        ("n01440764 tench, Tinca tinca", "n01440764"),
        ("great white shark; white shark", "Great_White_Shark"),
        ("aeroplane", "airplane"),
    ],
)
def test_the_first_synonym_counts(label, category):
    assert match_classes([label, "other"], [category, "third"]).judged == (category,)


def test_a_synonym_never_takes_a_class_from_its_own_name():
    found = match_classes(["crane, bird", "crane"], ["crane"])
    assert found.to_category == (None, 0)
    assert match_classes(["white shark, tench"], ["tench"]).judged == ()
    assert match_classes(["crane, bird", "crane, machine"], ["crane"]).judged == ()  # nothing tells which


def test_labels_that_stand_twice_are_told():
    result = made_result(models=(model(labels=("a", "a", "b", None, None)),))
    assert only(check_labels, result, "labels.repeated").facts["repeated"] == ["a"]
    assert "labels.repeated" not in codes(check_labels, made_result())


def covered(judged, only_model, only_truth, instances):

    dataset = dataclasses.replace(DATASET, instances=instances)
    record = model(classes_judged=judged, classes_only_model=only_model, classes_only_truth=only_truth)
    return made_result(models=(record,), datasets={"default": dataset})


@pytest.mark.parametrize(
    ("only_model", "only_truth", "instances", "told"),
    [
        (("x",), ("b", "c"), {"a": 90, "b": 5, "c": 5}, True),  # two of three classes
        (("x",), ("b",), {"a": 10, "b": 11}, True),  # most of the truth
        (("x",), ("b",), {"a": 11, "b": 10}, False),
        ((), ("b", "c"), {"a": 1, "b": 50, "c": 50}, False),  # a model of `a` alone: nothing of it falls out
        (tuple("uvwxyz"), (), {"a": 10}, False),  # a model of more than the data has
    ],
)
def test_when_most_falls_out_it_is_a_warning(only_model, only_truth, instances, told):
    result = covered(("a",), only_model, only_truth, instances)
    assert ("labels.coverage" in codes(check_labels, result)) == told
    if told:
        found = only(check_labels, result, "labels.coverage")
        assert found.facts["lost"] == sum(instances[name] for name in only_truth)


def test_lines_without_a_name_fall_out_too():
    result = covered(("a",), (), ("b", "c"), {"a": 1, "b": 5, "c": 5})
    result = dataclasses.replace(result, models=(dataclasses.replace(result.models[0], labels=("a", None, None)),))
    assert "labels.coverage" in codes(check_labels, result)


# ------------------------------------------------------------------------------------- what a set says of itself


def test_two_images_of_one_label_file_are_an_error_and_a_list_may_have_a_mark(tmp_path):
    write_yolo(tmp_path, FOUND)
    sound = truth(load("yolo", annotations=tmp_path / "data.yaml"))
    names = sorted(path.name for path in (tmp_path / "images" / "val").iterdir())
    listed = "\n".join(f"images/val/{name}" for name in names)
    (tmp_path / "val.txt").write_text(listed, encoding="utf-8-sig")
    (tmp_path / "list.yaml").write_text(f"val: val.txt\nnames: [{', '.join(CLASSES)}]\n")
    assert truth(load("yolo", annotations=tmp_path / "list.yaml")) == sound
    (tmp_path / "val.txt").write_text("\r\n".join(f"D:\\set\\images\\val\\{name}" for name in names))
    assert truth(load("yolo", annotations=tmp_path / "list.yaml")) == sound
    write_image(tmp_path / "images" / "val" / names[0].replace(".png", ".jpg"), FOUND[1][0])
    with pytest.raises(InputError, match="it is the label file of two images"):
        load("yolo", annotations=tmp_path / "data.yaml")


def test_a_folder_of_any_name_is_not_taken_for_one_that_is_named(tmp_path):
    write_yolo(tmp_path, FOUND)
    (tmp_path / "data.yaml").write_text(f"val: ../valid/images\nnames: [{', '.join(CLASSES)}]\n")
    with pytest.raises(InputError, match=r"\.\./valid/images is neither there nor beside"):
        load("yolo", annotations=tmp_path / "data.yaml")


@pytest.mark.parametrize(("lost", "level"), [(1, "info"), (3, "warning")])
def test_missing_label_files_are_told(tmp_path, lost, level):
    write_yolo(tmp_path, FOUND)
    for path in sorted((tmp_path / "labels" / "val").iterdir())[:lost]:
        path.unlink()
    counts = load("yolo", annotations=tmp_path / "data.yaml").counts
    assert counts["missing_labels"] == lost
    dataset = dataclasses.replace(DATASET, images=4, counts=dict(counts))
    told = only(check_data, made_result(datasets={"default": dataset}), "data.missing_labels")
    assert (told.level, told.facts["count"]) == (level, lost)


def test_where_voc_counts_from_is_told_and_settled(tmp_path):
    write_voc(tmp_path, FOUND)
    plain = load("voc", annotations=tmp_path / "Annotations")
    zero = load("voc", annotations=tmp_path / "Annotations", options={"first_pixel": 0})
    assert (zero.truth[1].boxes[:, 0] - plain.truth[1].boxes[:, 0] == 1).all()
    for dataset, expected in ((plain, True), (zero, False)):
        record = dataclasses.replace(DATASET, about=dict(dataset.about))
        assert ("data.first_pixel" in codes(check_data, made_result(datasets={"default": record}))) == expected
    with pytest.raises(InputError, match="`first_pixel` is 2; expected 0 or 1"):
        load("voc", annotations=tmp_path / "Annotations", options={"first_pixel": 2})


def test_sizes_that_voc_does_not_say_are_read(tmp_path):
    write_voc(tmp_path, FOUND)
    sound = truth(load("voc", annotations=tmp_path / "Annotations"))
    for path in (tmp_path / "Annotations").iterdir():
        text = path.read_text()
        width, height = (float(re.search(rf"<{key}>(\d+)", text)[1]) for key in ("width", "height"))
        for key, side in (("xmin", width), ("ymin", height), ("xmax", width), ("ymax", height)):
            first = 1 if key.endswith("min") else 0
            text = re.sub(rf"<{key}>(\d+)", lambda m, k=key, s=side, f=first: f"<{k}>{(int(m[1]) - f) / s!r}", text)
        path.write_text(re.sub(r"<size>.*</size>", "", text))
    with pytest.raises(InputError, match="box_unit: normalized"):
        load("voc", annotations=tmp_path / "Annotations")
    read = truth(load("voc", annotations=tmp_path / "Annotations", options={"box_unit": "normalized"}))
    for image, boxes in read.items():
        for mine, true in zip(boxes, sound[image], strict=True):
            assert mine[1:] == pytest.approx(true[1:])


def test_images_are_in_the_order_of_their_content(tmp_path):
    image = np.zeros((20, 20, 3), np.uint8)
    for name in ("z", "a"):
        write_image(tmp_path / "x" / f"{name}.png", image)
        write_image(tmp_path / "y" / f"{name}.png", image + 1)
    dataset = in_canonical_order(load("folders", images=tmp_path))
    assert [record.sha256 for record in dataset.images] == sorted(record.sha256 for record in dataset.images)
    assert Path(dataset.images[0].path).name == "a.png"
