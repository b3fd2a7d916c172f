import numpy as np
import pytest

from auditor import boxes


@pytest.mark.parametrize("box_format", boxes.BOX_FORMATS)
def test_every_format_gives_the_same_box(box_format):
    given = {"xyxy": [8, 17, 12, 23], "yxyx": [17, 8, 23, 12], "cxcywh": [10, 20, 4, 6], "xywh": [8, 17, 4, 6]}
    assert boxes.to_xyxy([given[box_format]], box_format).tolist() == [[8, 17, 12, 23]]


def test_unknown_format_and_wrong_shape_are_value_errors():
    with pytest.raises(ValueError, match="expected a box format"):
        boxes.to_xyxy([[0, 0, 1, 1]], "xxyy")
    with pytest.raises(ValueError, match=r"shape \(N, 4\)"):
        boxes.area(np.zeros((3, 5)))


def test_iou_by_hand():
    # 10 × 10 boxes overlapping by 5 × 10: 50 / (100 + 100 - 50)
    assert boxes.iou([[0, 0, 10, 10]], [[5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 0, 0]])[0].tolist() == pytest.approx(
        [1 / 3, 0, 0]
    )


def test_clip_and_area_of_inverted_boxes():
    assert boxes.clip([[-5, 2, 50, 60]], width=40, height=30).tolist() == [[0, 2, 40, 30]]
    assert boxes.area([[5, 5, 1, 9]]).tolist() == [0]
    assert boxes.to_xyxy([], "xywh").shape == (0, 4)
