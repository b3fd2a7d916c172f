"""What quantization cost and why: every threshold, fact and remedy of the check, on results written by hand."""

from __future__ import annotations

import dataclasses

import pytest
from made_results import (
    BROKEN_HEAD,
    cell_of,
    codes,
    findings_of,
    made_cell,
    made_result,
    minus,
    model,
    worded,
)

from auditor.judge.quantization import breaks_in_head, check_quantization, loses
from auditor.values import (
    CalibrationRecord,
    Diagnosis,
    InputCodes,
    InputContract,
    LayerError,
    LevelTest,
    Made,
    OutputCodes,
    PlanRecord,
    Source,
)


def level_of(name, quantization, size=500, **changed):
    return model(name=name, quantization=quantization, size_bytes=size, **changed)


def level_cell(name, quantization, value, lost=None, *interval, **facts):
    metrics = minus("float32", lost, *interval) if lost is not None else {}
    return cell_of(value, metrics, file=name, quantization=quantization, **facts)


@pytest.mark.parametrize(("lost", "told"), [(-0.0201, True), (-0.02, False), (0.1, False)])
def test_a_loss_is_told_beyond_its_limit(lost, told):
    cell = level_cell("m8", "int8", 0.3, lost)
    assert loses(cell, 0.02) is told
    assert not loses(dataclasses.replace(cell, scenario="noise/iso"), 0.02)
    result = made_result([cell], models=(model(), level_of("m8", "int8")))
    assert codes(check_quantization, result) == ["quantization.loss"] * told
    strict = dataclasses.replace(result, plan=PlanRecord(checks={"quantization": {"max_loss": 0.01}}))
    assert codes(check_quantization, strict) == ["quantization.loss"] * (lost < -0.01)


@pytest.mark.parametrize(("high", "noise", "level"), [(-0.001, False, None), (0.0, True, "info"), (0.1, True, "info")])
def test_a_loss_may_be_noise(high, noise, level):
    test = LevelTest(3, 9, 0.146)
    cell = level_cell("m8", "int8", 0.3, -0.2, -0.4, high, level_test=test)
    (found,) = findings_of(check_quantization, made_result([cell], models=(model(), level_of("m8", "int8"))))
    assert found.facts == {
        "file": "m8",
        "level": "int8",
        "delegate": "xnnpack",
        "metric": "AP",
        "lost": 0.2,
        "interval": [-0.4, high],
        "noise": noise,
        "right_here": 3,
        "right_there": 9,
        "p": 0.146,
    }
    assert (found.level, found.observed, found.limit) == (level, -0.2, -0.02)
    assert found.cell == {"model": "m", "file": "m8", "quantization": "int8"}


def test_a_loss_without_interval_or_test_is_told_as_it_is():
    cell = level_cell("m8", "int8", 0.3, -0.2)
    (found,) = findings_of(check_quantization, made_result([cell], models=(model(), level_of("m8", "int8"))))
    assert (found.facts["interval"], found.facts["noise"], found.facts["p"], found.level) == (None, False, None, None)


@pytest.mark.parametrize(
    ("change", "quantization", "scenario", "level"),
    [
        (-0.0201, "float32", "clean", "warning"),
        (-0.02, "float32", "clean", None),
        (0.0, "float32", "clean", None),
        (-0.3, "int8", "clean", "absent"),
        (-0.3, "float32", "noise/iso", "absent"),
        (None, "float32", "clean", "absent"),
    ],
)
def test_what_the_conversion_cost_is_told_apart(change, quantization, scenario, level):
    cell = dataclasses.replace(
        cell_of(0.5, minus("parent", change, -0.4, 0.1), quantization=quantization), scenario=scenario
    )
    found = [
        item for item in findings_of(check_quantization, made_result([cell])) if item.code == "quantization.conversion"
    ]
    assert len(found) == (level != "absent")
    for item in found:
        assert item.facts == {
            "file": "m",
            "delegate": "xnnpack",
            "metric": "AP",
            "change": change,
            "interval": [-0.4, 0.1],
            "lost": level == "warning",
        }
        assert (item.level, item.observed, item.limit) == (level, change, -0.02)


def diagnosed(**facts):
    return list(findings_of(check_quantization, made_result([], models=(model(diagnosis=Diagnosis(**facts)),))))


def output(scale=0.1, high=25.0, **facts):
    return OutputCodes("o", "int8", scale, 3, -1.0, high, **facts)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (output(high=0.0), "quantization.never_positive"),
        (output(high=-1.0), "quantization.never_positive"),
        (output(high=0.01, scale=0.001, score_values=(0.0, 0.0)), None),
        (output(scale=0.0501, zero_scores=0.9), "quantization.one_scale"),
        (output(scale=0.05, zero_scores=0.9), None),  # twenty codes from 0 to 1
        (output(scale=0.06), None),
        (output(high=0.5, scale=0.002, score_values=(0.0, 0.5)), "quantization.saturates"),
        (output(high=0.5, scale=0.125, score_values=(0.0, 0.375)), "quantization.saturates"),  # one code below
        (output(high=0.5, scale=0.125, score_values=(0.0, 0.37)), None),
        (output(high=0.9, scale=0.002, score_values=(0.0, 0.9)), None),
        (output(high=0.5, scale=0.002), None),
    ],
)
def test_what_an_output_s_codes_show(given, code):
    assert [item.code for item in diagnosed(outputs=(given,))] == ([code] if code else [])
    assert breaks_in_head(Diagnosis(outputs=(output(scale=0.001), given))) is (code == "quantization.one_scale")


def test_an_output_s_codes_are_told_in_figures():
    where = {"model": "m", "file": "m", "quantization": "float32"}
    never, scale, saturating = diagnosed(
        outputs=(
            output(high=-0.5),
            output(scale=0.25, zero_scores=0.99, box_values=(0.0, 640.0), distinct_scores=4),
            output(high=0.5, scale=0.002, score_values=(0.0, 0.5)),
        )
    )
    assert never.facts == {"file": "m", "output": "o", "high": -0.5, "scale": 0.1, "zero_point": 3}
    assert (never.observed, never.limit, never.cell) == (-0.5, 0.0, where)
    remedy = scale.facts["remedy"]
    assert remedy.startswith("Export the model with boxes divided by the input size")
    assert scale.facts == {
        "file": "m",
        "output": "o",
        "scale": 0.25,
        "box_high": 640.0,
        "zero": 0.99,
        "distinct": 4,
        "remedy": remedy,
    }
    assert (scale.observed, scale.limit, scale.cell) == (4.0, 20.0, where)
    assert (saturating.facts, saturating.observed, saturating.limit) == (
        {"file": "m", "output": "o", "high": 0.5},
        0.5,
        0.9,
    )
    (bare,) = diagnosed(outputs=(output(scale=0.25, zero_scores=0.0),))
    assert (bare.facts["box_high"], bare.facts["zero"], bare.facts["distinct"]) == (0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("used", "clipped", "told"), [(192, 0.01, False), (191, 0.0, True), (256, 0.0101, True), (256, 0.0, False)]
)
def test_an_input_that_leaves_codes_unused_or_clips(used, clipped, told):
    found = diagnosed(input=InputCodes("int8", 0.1, 3, -1.0, 1.0, 0.0, 255.0, used, clipped))
    assert [item.code for item in found] == ["quantization.input_codes"] * told
    for item in found:
        assert item.facts == {
            "file": "m",
            "low": -1.0,
            "high": 1.0,
            "fed_low": 0.0,
            "fed_high": 255.0,
            "codes_used": used,
            "clipped": clipped,
            "inherited": False,
        }
        assert (item.observed, item.limit) == (float(used), 192.0)


def test_an_inherited_contract_is_called_so():
    codes_of = InputCodes("int8", 0.1, 3, -1.0, 1.0, 0.0, 255.0, 10, 0.0)
    record = model(diagnosis=Diagnosis(input=codes_of), sources={"input.mean": Source("family")})
    result = made_result([cell_of(0.5)], models=(record,))
    (told,) = [
        item for item in worded(findings_of(check_quantization, result)) if item.code == "quantization.input_codes"
    ]
    assert "It is fed what its family is" in told.remedy


def test_the_worst_layers_are_told_three_at_most():
    rows = tuple(LayerError(f"t{index}", f"OP{index}", 1.0 + index, 0.0) for index in range(4))
    (found,) = diagnosed(layers=rows, layer_images=8)
    assert found.facts == {"file": "m", "images": 8, "worst": ["OP0 t0 1.0 dB", "OP1 t1 2.0 dB", "OP2 t2 3.0 dB"]}
    assert found.observed == 1.0
    (silent,) = diagnosed(layers=(LayerError("t", "OP", None, 0.0),), layer_images=8)
    assert silent.facts["worst"] == ["OP t 0.0 dB"]


def test_tensors_beyond_their_calibration_are_told_from_one_in_a_hundred():
    rows = tuple(LayerError(f"t{share}", "OP", 9.0, share) for share in (0.05, 0.04, 0.03, 0.0101, 0.01))
    (found,) = diagnosed(saturating=rows, saturating_tensors=12)
    assert found.facts == {"file": "m", "tensors": 12, "worst": ["OP t0.05 5.0%", "OP t0.04 4.0%", "OP t0.03 3.0%"]}
    assert (found.observed, found.limit) == (0.05, 0.01)
    assert diagnosed(saturating=rows[4:]) == []
    assert len(diagnosed(saturating=rows[3:])) == 1


def test_levels_and_calibration_images_that_could_not_be_had():
    plan = PlanRecord(calibration={"m": CalibrationRecord(20, 2), "n": CalibrationRecord(20, 0)})
    skipped = made_cell("clean", 0, None, status="skipped", cause="level", quantization="int8", error="no images")
    again = dataclasses.replace(skipped, scenario="noise/iso", severity=1)
    dynamic = dataclasses.replace(skipped, quantization="dynamic_range")
    other_cause = dataclasses.replace(skipped, quantization="float16", cause="delegate")
    images, first, second = findings_of(
        check_quantization, made_result([skipped, again, dynamic, other_cause], plan=plan)
    )
    assert images.facts == {"entry": "m", "unreadable": 2, "images": 20}
    assert (images.observed, images.cell) == (2.0, {"model": "m"})
    assert first.facts == {"file": "m", "level": "int8", "reason": "no images"}
    assert first.cell == {"file": "m", "quantization": "int8"}
    assert second.facts["level"] == "dynamic_range"


def remedy_of(remedied=None, more=None, *, levels=(), before=0.1, reference=0.5, made=None):
    """What is advised for an int8 file that lost its scores, where its float32 parent has `reference`."""
    tool = Made("tool", "1.0", "m", 20)
    models = [model(size_bytes=4000), level_of("m8", "int8", 1000, diagnosis=BROKEN_HEAD, made=made)]
    cells = [cell_of(reference)] if reference is not None else []
    cells += [level_cell("m8", "int8", before, (before or 0) - 0.5)]
    for name, role, value in (("head", "remedy", remedied), ("more", "evidence", more)):
        if value is not None:
            models.append(level_of(name, f"int8_{name}", 1200, role=role, made=tool))
            cells.append(level_cell(name, f"int8_{name}", value, value - 0.5))
    for name, quantization, lost in levels:
        models.append(level_of(name, quantization, 2000))
        cells.append(level_cell(name, quantization, 0.5 + lost, lost))
    found = findings_of(check_quantization, made_result(cells, models=tuple(models)))
    (scale,) = [item for item in found if item.code == "quantization.one_scale"]
    return scale.facts["remedy"]


TOOL = Made("tool", "1.0", "m", 20)


def test_a_head_in_float_that_mends_all_is_advised_with_its_price():
    assert remedy_of(0.5, made=TOOL) == (
        "Keep the head in float, as head does: AP 0.100 becomes 0.500 at 1,200 bytes instead of 1,000."
    )
    assert remedy_of(0.485, made=TOOL) == (
        "Keep the head in float, as head does: AP 0.100 becomes 0.485 at 1,200 bytes instead of 1,000."
    )
    assert "AP undefined becomes 0.480" in remedy_of(0.48, before=None)
    assert "(made with tool 1.0 of the float32 file, where this level was made with another program)" in remedy_of(0.5)
    assert remedy_of(0.3, reference=None, made=TOOL).endswith("instead of 1,000.")


def test_what_stays_lost_is_told_with_what_else_there_is():
    text = remedy_of(0.4, made=TOOL, levels=[("m16", "float16", -0.01), ("bad", "dynamic_range", -0.03)])
    assert text.endswith(
        "; 0.100 of the float32 AP 0.500 stay lost. To mend the rest, take m16 (-0.010, 2,000 bytes), or train with "
        "quantization in the loop."
    )
    text = remedy_of(0.4, made=TOOL, levels=[("m16", "float16", -0.02), ("m32", "dynamic_range", 0.0)])
    assert "take m16 (-0.020, 2,000 bytes) or m32 (+0.000, 2,000 bytes), or train" in text
    assert remedy_of(0.4, made=TOOL).endswith("To mend the rest, train with quantization in the loop.")


def test_more_float_is_advised_only_where_it_helps():
    helps = remedy_of(0.3, 0.33, made=TOOL)
    assert helps.endswith(
        "More float helps: more, with four more weighted ops of each path in float, has AP 0.330 at 1,200 bytes."
    )
    none = remedy_of(0.3, 0.315, made=TOOL)
    assert none.endswith(
        "More float does not help: with four more weighted ops of each path in float (more) AP is 0.315, so the rest "
        "is lost in the 8-bit activations of the backbone: train with quantization in the loop."
    )


def test_a_head_in_float_that_does_not_help_is_not_advised():
    assert remedy_of(0.119, made=TOOL) == (
        "Keeping the head in float does not help here (head: AP 0.119 instead of 0.100): train with quantization "
        "in the loop."
    )
    assert remedy_of(0.121, made=TOOL).startswith("Keep the head in float")


def fed(mean, std, scale, zero_point, dtype="uint8"):
    """What is told of an 8-bit input that is fed so."""
    contract = InputContract(32, 32, mean=mean, std=std, dtype=dtype, scale=scale, zero_point=zero_point)
    codes = InputCodes(dtype, scale, zero_point, 0.0, 1.0, 0.0, 1.0, codes_used=256, clipped=0.0)
    result = made_result([cell_of(0.5)], models=(model(input=contract, diagnosis=Diagnosis(input=codes)),))
    return [item for item in findings_of(check_quantization, result) if item.code == "quantization.half_codes"]


@pytest.mark.parametrize(
    ("mean", "std", "scale", "zero_point", "dtype", "better"),
    [
        ((127.5,), (127.5,), 1 / 127.5, 127, "uint8", 127.0),  # the issue's: every pixel on a half code
        ((127.5,), (127.5,), 1 / 127.5, -1, "int8", 127.0),
        ((0.0,), (255.0,), 2 / 255, 0, "uint8", None),  # every other pixel: no mean is better, and one must round
        ((128.5,), (1.0,), 1.0, 0, "int8", 128.0),
        ((0.5, 0.5, 0.5), (255.0,) * 3, 1 / 255, 0, "uint8", 0.0),
    ],
)
def test_pixels_between_two_codes_are_told_with_a_contract_that_has_none(mean, std, scale, zero_point, dtype, better):
    (told,) = fed(mean, std, scale, zero_point, dtype)
    if better is not None:
        assert told.facts["better"] == pytest.approx([better] * len(mean))
        assert f"mean: {better:g}" in str(told.fix) or f"mean: [{better:g}" in str(told.fix)
        assert fed(tuple(told.facts["better"]), std, scale, zero_point, dtype) == []


@pytest.mark.parametrize(
    ("mean", "std", "scale", "zero_point", "dtype"),
    [
        ((0.0,), (255.0,), 1 / 255, 0, "uint8"),
        ((0.0,), (255.0,), 0.003921569, -128, "int8"),
        ((127.5,), (127.5,), 1 / 128, 128, "uint8"),
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), 0.0186, 114, "uint8"),
    ],
)
def test_pixels_on_codes_or_anywhere_are_not_told(mean, std, scale, zero_point, dtype):
    assert fed(mean, std, scale, zero_point, dtype) == []
