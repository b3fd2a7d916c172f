"""COCO JSON, good and bad."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from auditor.datasets.dataset import DatasetRequest
from auditor.datasets.formats.coco import load
from auditor.datasets.shared_classes import match_classes
from auditor.errors import InputError


def document(**changes):
    return {
        "images": [{"id": 9, "file_name": "b.png", "width": 8, "height": 6}, {"id": 2, "file_name": "sub/a.png"}],
        "annotations": [
            {"image_id": 9, "category_id": 40, "bbox": [1, 1, 4, 3], "area": 7.5},
            {"image_id": 9, "category_id": 3, "bbox": [0, 0, 2, 2], "iscrowd": 1},
            {"image_id": 2, "category_id": 3, "bbox": [0, 0, 0, 2]},
        ],
        "categories": [{"id": 40, "name": "dog"}, {"id": 3, "name": "cat"}],
    } | changes


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((6, 8, 3), np.uint8))
    return tmp_path


def loaded(folder, data, **options):
    path = folder / "instances.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return load(DatasetRequest(name="d", images=folder, annotations=path, limit=options.get("limit")))


def test_ids_in_any_order_crowds_areas_and_zero_boxes(folder):
    dataset = loaded(folder, document())
    assert [image.id for image in dataset.images] == [2, 9]
    assert dataset.categories == ("cat", "dog")
    truth = dataset.truth[9]
    assert truth.boxes.tolist() == [[1, 1, 5, 4], [0, 0, 2, 2]]
    assert (truth.labels.tolist(), truth.area.tolist(), truth.iscrowd.tolist()) == ([1, 0], [7.5, 4], [False, True])
    assert dataset.counts == {"zero_area_boxes": 1, "crowds": 1, "missing_files": 0, "images_without_truth": 1}


def test_limit_takes_the_first_by_id_and_the_fingerprint_follows_content(folder):
    dataset = loaded(folder, document(), limit=1)
    assert [image.id for image in dataset.images] == [2]
    before = loaded(folder, document()).fingerprint
    cv2.imwrite(str(folder / "a.png"), np.ones((6, 8, 3), np.uint8))
    assert loaded(folder, document()).fingerprint != before


def test_missing_files_are_counted_and_all_missing_is_an_error(folder):
    (folder / "a.png").unlink()
    assert loaded(folder, document()).counts["missing_files"] == 1
    (folder / "b.png").unlink()
    with pytest.raises(InputError, match="none of the 2 images"):
        loaded(folder, document())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected a mapping"),
        (document(categories=None), "without a list of categories"),
        (document(annotations=[{"image_id": 9, "segments_info": []}]), "panoptic"),
        (document(annotations=[{"image_id": 9, "category_id": 3}]), "no valid `bbox`"),
        (document(annotations=[{"image_id": 9, "category_id": 3, "bbox": [0, 0, float("nan"), 1]}]), "no valid `bbox`"),
        (
            document(annotations=[{"image_id": 5, "category_id": 3, "bbox": [0, 0, 1, 1]}]),
            "ids of images that the file does not list: 5",
        ),
        (
            document(annotations=[{"image_id": 9, "category_id": 8, "bbox": [0, 0, 1, 1]}]),
            "ids of categories that the file does not list: 8",
        ),
        (document(categories=[{"id": 3, "name": "a"}, {"id": 40, "name": "a"}]), "names stand twice: a"),
        (document(images=[{"id": 9, "file_name": "b.png"}] * 2), "more than one of images: 9"),
        (document(images=[]), "lists no images"),
        (document(annotations=[]), "lists no annotations, so nothing can be judged"),
    ],
)
def test_bad_documents(folder, data, expected):
    with pytest.raises(InputError, match=expected):
        loaded(folder, data)


def test_missing_annotations_and_images(folder):
    with pytest.raises(InputError, match="no such file"):
        load(DatasetRequest(name="d", images=folder, annotations=folder / "absent.json", limit=None))
    (folder / "i.json").write_text(json.dumps(document()))
    with pytest.raises(InputError, match="no such folder"):
        load(DatasetRequest(name="d", images=folder / "absent", annotations=folder / "i.json", limit=None))


def test_classes_match_by_name_whatever_the_spelling():
    match = match_classes(["Hot_Dog", "cat", None, "kite"], ["cat", "hot dog", "tree"])
    assert match.to_category == (1, 0, None, None)
    assert (match.judged, match.only_model, match.only_truth) == (("cat", "hot dog"), ("kite",), ("tree",))


def test_names_that_differ_in_case_alone_are_refused(folder):
    with pytest.raises(InputError, match="stand twice: dog"):
        loaded(folder, document(categories=[{"id": 40, "name": "dog"}, {"id": 3, "name": "Dog"}]))


def test_images_of_different_folders_that_lead_to_one_file_are_refused(folder):
    images = [{"id": 9, "file_name": "left/b.png"}, {"id": 2, "file_name": "right/b.png"}]
    with pytest.raises(InputError, match="lead to one file"):
        loaded(folder, document(images=images))


@pytest.mark.parametrize("change", [{"area": "big"}, {"bbox": [0, 0, 10**400, 1]}, {"image_id": 2**70}])
def test_numbers_that_are_none(folder, change):
    with pytest.raises(InputError, match="no valid"):
        loaded(folder, document(annotations=[{"image_id": 9, "category_id": 3, "bbox": [0, 0, 1, 1]} | change]))
