"""What is shown of what models saw, and what is handed on: the same numbers as the audit's own."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import shutil

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DEMO_MODEL, write_project
from tiny_models import write_model

from auditor.cli import main
from auditor.config import parse_gallery
from auditor.run import export_node_data, load_run, report_run, revisited, run_audit
from auditor.tasks.anatomy.cells import marked_cell
from auditor.values import Drift, OpDrift


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A project whose audit was run, at three severities, with a threshold of its own."""
    folder = write_project(tmp_path_factory.mktemp("shown"))
    text = (folder / "audit.yaml").read_text().replace("severities: [1, 5]", "severities: [1, 3, 5]")
    text += "gallery: {images: 4, width: 200}\n"
    (folder / "audit.yaml").write_text(text)
    run_audit(folder / "audit.yaml", output=folder / "out", executor="serial", command="auditor run audit.yaml")
    return folder


def gallery_of(folder):
    return parse_gallery(json.loads((folder / "out" / "gallery" / "index.json").read_text()))


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_marks_are_what_the_metrics_count(shown):
    """Over all images, what is marked as found, missed and false is recall and fppi of the cell, of every cell."""
    with revisited(shown / "out") as run:
        assert len(run.cells) == 7
        for cell in run.cells:
            marks = marked_cell(run.task(cell)).values()
            metrics = next(found for found in run.result.cells if found.key == cell).metrics
            objects = sum(len(marked.truth) for marked in marks)
            assert sum(map(sum, (marked.hits for marked in marks))) / objects == pytest.approx(metrics["recall"].value)
            alarms = sum(len(marked.alarms) for marked in marks)
            assert alarms / len(marks) == pytest.approx(metrics["fppi"].value), str(cell)


def test_the_images_that_lose_most_are_chosen(shown):
    record = gallery_of(shown)
    assert {item.severity for item in record.seen} == {0.0, 3.0}
    with revisited(shown / "out", scenarios=["clean", "noise/gaussian"], severities=[0, 3]) as run:
        marks = {cell.scenario: marked_cell(run.task(cell)) for cell in run.cells}
    noisy = marks["noise/gaussian"]
    lost = {
        image_id: sum(was and not now for was, now in zip(clean.hits, noisy[image_id].hits, strict=True))
        for image_id, clean in marks["clean"].items()
    }
    mine = [item for item in record.seen if item.scenario == "noise/gaussian"]
    assert len(mine) == 4
    assert [item.lost for item in mine] == [lost[record.images[item.image].id] for item in mine]
    assert [item.lost for item in mine[:3]] == sorted(lost.values(), reverse=True)[:3]


def test_pictures_are_what_the_models_saw(shown):
    record = gallery_of(shown)
    item = next(item for item in record.seen if item.scenario == "noise/gaussian")
    image = record.images[item.image]
    clean, noisy = (
        cv2.imread(str(shown / "out" / "gallery" / image.pictures[key])) for key in ("clean@0", "noise/gaussian@3")
    )
    original = cv2.imread(str(shown / "images" / image.name))
    assert clean.shape[1] == 200
    small = cv2.resize(original, (clean.shape[1], clean.shape[0]), interpolation=cv2.INTER_AREA)
    assert cv2.PSNR(small, clean) > 28
    assert cv2.PSNR(clean, noisy) < cv2.PSNR(small, clean) - 3


def test_a_report_holds_the_pictures_and_another_is_made_without_measuring(shown):
    page = (shown / "out" / "report.html").read_text()
    pictures = {name for image in gallery_of(shown).images for name in image.pictures.values()}
    assert page.count("data:image/webp;base64,") == len(pictures)
    (shown / "out" / "report.html").unlink()
    assert report_run(shown / "out").read_text() == page


def test_a_budget_keeps_the_worst_of_every_cell(shown, tmp_path):
    shutil.copytree(shown, tmp_path / "p")
    record = gallery_of(shown)
    sizes = [
        (shown / "out" / "gallery" / name).stat().st_size for image in record.images for name in image.pictures.values()
    ]
    half = sum(sizes) / 2e6
    text = (tmp_path / "p" / "audit.yaml").read_text().replace("width: 200", f"width: 200, megabytes: {half:.6f}")
    (tmp_path / "p" / "audit.yaml").write_text(text)
    shutil.rmtree(tmp_path / "p" / "out" / "gallery")
    run_audit(tmp_path / "p" / "audit.yaml", output=tmp_path / "p" / "out", executor="serial")
    less = gallery_of(tmp_path / "p")
    kept = [name for image in less.images for name in image.pictures.values()]
    assert less.left_out == len(sizes) - len(kept) > 0
    written = list((tmp_path / "p" / "out" / "gallery").glob("*.webp"))
    assert sum(path.stat().st_size for path in written) <= half * 1e6
    first = {item.scenario: item for item in reversed(less.seen)}
    for item in first.values():
        assert f"{item.scenario}@{item.severity:g}" in less.images[item.image].pictures
    assert "more pictures did not fit" in " ".join((tmp_path / "p" / "out" / "report.html").read_text().split())


@pytest.mark.parametrize(("asked", "boxes"), [("gallery: false", True), ("gallery: {images: 0}", False)])
def test_no_pixel_leaves_where_none_may(project, asked, boxes):
    text = (project / "audit.yaml").read_text()
    (project / "audit.yaml").write_text(text + asked + "\n")
    run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    page = (project / "out" / "report.html").read_text()
    assert "data:image" not in page
    assert ("What the models saw" in page) == boxes
    assert (
        not list((project / "out" / "gallery").glob("*.webp")) if boxes else not (project / "out" / "gallery").exists()
    )
    if boxes:
        assert "boxes stand on grey" in page
        assert gallery_of(project).seen


@pytest.mark.parametrize(
    "asked", ["gallery: {images: -1}", "gallery: {width: 10}", "gallery: true", "gallery: {wdth: 2}"]
)
def test_what_a_gallery_cannot_be_is_told_by_line(project, asked):
    text = (project / "audit.yaml").read_text()
    (project / "audit.yaml").write_text(text + asked + "\n")
    done = invoke("run", project / "audit.yaml", "-o", project / "out")
    assert done.exit_code == 2
    assert f"audit.yaml:{len(text.splitlines()) + 1}: gallery" in done.output
    assert not (project / "out").exists()


def test_a_classifier_has_a_gallery_of_what_is_taken_for_what(tmp_path):
    write_project(tmp_path)
    write_model(tmp_path / "c.tflite", {"p": np.array([[0.1, 0.7, 0.2]], dtype=np.float32)})
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    for number, path in enumerate(sorted((tmp_path / "images").glob("*.png"))):
        (tmp_path / "sorted" / "abc"[number % 3]).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "sorted" / "abc"[number % 3] / path.name)
    (tmp_path / "audit.yaml").write_text(
        "name: c\ndataset: {format: folders, images: sorted}\nmodels:\n"
        "  - {name: c, path: c.tflite, labels: names.txt, task: classification, input: {color: rgb, mean: 0, std: 255,"
        " resize: stretch}}\nscenarios: [noise/gaussian]\nseverities: [1]\nmeasure: {threads: []}\n"
        "checks: {input_contract: false}\n"
    )
    result = run_audit(tmp_path / "audit.yaml", output=tmp_path / "out", executor="serial")
    record = gallery_of(tmp_path)
    clean = [item for item in record.seen if item.scenario == "clean"]
    top1 = next(cell.value for cell in result.cells if cell.is_clean)
    assert len(clean) == sum(item.lost for item in clean) == round((1 - top1) * 10)
    assert not record.has_boxes
    item = clean[0]
    assert [mark.label for mark in item.found] == ["b", "c", "a"]
    assert record.images[item.image].truth[0].label in "ac"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "What the models saw" in page


def test_a_gallery_folder_has_every_image(shown, tmp_path):
    done = invoke(
        "gallery", shown / "out", "--scenario", "noise/gaussian", "--severity", "5", "--all", "-o", tmp_path / "g"
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "g" / "index.html")
    assert len(list((tmp_path / "g" / "pictures").iterdir())) == 20
    page = (tmp_path / "g" / "index.html").read_text()
    sources = re.findall(r'src="(pictures/[^"]*)"', page)
    assert len(sources) == 20
    assert all((tmp_path / "g" / source).is_file() for source in sources)
    assert (
        cv2.imread(str(tmp_path / "g" / sources[0])).shape[1] == cv2.imread(str(shown / "images" / "000.png")).shape[1]
    )


def ap_of(folder, item):
    """The AP that pycocotools gives of exported files."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / item["truth"]))
        found = json.loads((folder / item["results"]).read_text())
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0]


def test_coco_results_give_the_ap_of_the_report(shown, tmp_path):
    done = invoke("export", shown / "out", "--to", "coco", "-o", tmp_path / "coco")
    assert done.exit_code == 0, done.output
    index = json.loads((tmp_path / "coco" / "index.json").read_text())
    assert len(index) == 7
    for item in index:
        assert ap_of(tmp_path / "coco", item) == pytest.approx(item["value"], abs=1e-12)


def test_fiftyone_samples_have_truth_and_a_field_for_each_cell(shown, tmp_path):
    done = invoke("export", shown / "out", "--to", "fiftyone", "--scenario", "noise/gaussian", "-o", tmp_path / "fo")
    assert done.exit_code == 0, done.output
    samples = json.loads((tmp_path / "fo" / "samples.json").read_text())["samples"]
    assert len(samples) == 10
    names = [f"detector__xnnpack__noise_gaussian__{severity}" for severity in (1, 3, 5)]
    fields = [re.sub(r"[^A-Za-z0-9]+", "_", name) for name in names]
    truth = json.loads((shown / "instances.json").read_text())
    for sample in samples:
        assert set(sample) == {"filepath", "tags", "truth", *fields}
        image = next(image for image in truth["images"] if sample["filepath"].endswith(image["file_name"]))
        boxes = [a["bbox"] for a in truth["annotations"] if a["image_id"] == image["id"]]
        size = np.array([image["width"], image["height"]] * 2)
        relative = [item["bounding_box"] for item in sample["truth"]["detections"]]
        assert np.array(sorted((np.array(relative) * size).tolist())) == pytest.approx(np.array(sorted(boxes)))
        assert all(0.05 <= item["confidence"] <= 1 for item in sample[fields[0]]["detections"])


def test_equal_scores_are_exported_in_the_order_in_which_they_are_ranked(project, tmp_path):
    """int8 scores tie across images: pycocotools ranks the export as the audit did."""
    shutil.copy(DEMO_MODEL.with_name("detector_int8.tflite"), project / "detector.tflite")
    run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    done = invoke("export", project / "out", "--to", "coco", "-o", tmp_path / "coco")
    assert done.exit_code == 0, done.output
    for item in json.loads((tmp_path / "coco" / "index.json").read_text()):
        assert ap_of(tmp_path / "coco", item) == pytest.approx(item["value"], abs=1e-12)


def test_names_that_differ_in_punctuation_alone_are_files_of_their_own(project, tmp_path):
    entry = "  - {name: detector, path: detector.tflite, labels: labels.txt}\n"
    twins = "".join(entry.replace("name: detector", f"name: {name}") for name in ("a-b", "a.b", "a_b"))
    text = (
        (project / "audit.yaml").read_text().replace(entry, twins).replace("[lighting/low_light, noise/gaussian]", "[]")
    )
    (project / "audit.yaml").write_text(text)
    run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert invoke("export", project / "out", "--to", "coco", "-o", tmp_path / "coco").exit_code == 0
    index = json.loads((tmp_path / "coco" / "index.json").read_text())
    assert len({item["results"] for item in index}) == len({item["truth"] for item in index}) == 3
    assert {path.name for path in (tmp_path / "coco" / "results").iterdir()} == {
        item["results"].removeprefix("results/") for item in index
    }


def test_models_of_other_classes_are_held_against_their_own_truth(project):
    """Two models on one data set, one of which knows half of the classes."""
    names = (project / "labels.txt").read_text().split()
    (project / "half.txt").write_text("\n".join([*names[:3], "x", "y", "z"]) + "\n")
    entry = "  - {name: detector, path: detector.tflite, labels: labels.txt}\n"
    half = entry.replace("name: detector", "name: half").replace("labels.txt", "half.txt")
    text = (project / "audit.yaml").read_text().replace(entry, entry + half)
    (project / "audit.yaml").write_text(text + "gallery: {images: 10}\n")
    result = run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    record = gallery_of(project)
    assert {item.file for item in record.seen} == {"detector", "half"}
    for item in record.seen:
        truth = record.images[item.image].truth
        assert item.lost <= len(truth)
        assert {mark.label for mark in truth} <= set(result.model(item.file).classes_judged)
        for mark in item.found:
            assert mark.partner is None or truth[mark.partner].label == mark.label


def test_pictures_of_an_earlier_run_are_gone_where_none_may_leave(project):
    run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert list((project / "out" / "gallery").glob("*.webp"))
    (project / "out" / "pictures").mkdir(exist_ok=True)
    (project / "out" / "pictures" / "suspect-0.jpg").write_bytes(b"a picture")
    (project / "audit.yaml").write_text((project / "audit.yaml").read_text() + "gallery: false\n")
    run_audit(project / "audit.yaml", output=project / "out", executor="serial")
    assert not list((project / "out" / "gallery").glob("*.webp"))
    assert not list((project / "out" / "pictures").glob("*.jpg"))
    done = invoke("gallery", project / "out")
    assert done.exit_code == 0, done.output
    assert "says `gallery: false`" in done.output


def test_node_data_names_tensors_and_their_noise(shown, tmp_path):
    result, _ = load_run(shown / "out")
    rows = (OpDrift(3, "CONV_2D", "a/b", 0.1, 12.5, 0.9, 0), OpDrift(4, "ADD", "c", 0.1, 30.0, 0.9, 0))
    drift = Drift("m_int8", "none", "m", "level", 4, 10.0, compared=2, ops=5, first=rows[0], worst=rows)
    (path,) = export_node_data(dataclasses.replace(result, drifts=(drift,)), tmp_path)
    graph = json.loads(path.read_text())["main"]
    assert graph["results"] == {"a/b": {"value": 12.5}, "c": {"value": 30.0}}
    assert [stop["stop"] for stop in graph["gradient"]] == [0, 0.5, 1]
    done = invoke("export", shown / "out", "--to", "model-explorer", "-o", tmp_path / "none")
    assert done.exit_code == 2
    assert "no layer of any file was looked at" in done.output
    assert not (tmp_path / "none").exists()


def test_a_run_that_cannot_be_opened_again_says_why(shown, tmp_path):
    shutil.copytree(shown, tmp_path / "p")
    out = tmp_path / "p" / "out"
    done = invoke("gallery", out, "--scenario", "noise/nothing")
    assert done.exit_code == 2
    assert "nothing was measured of noise/nothing" in done.output
    assert "it has clean, lighting/low_light, noise/gaussian at severities 0, 1, 3, 5" in done.output
    done = invoke("gallery", out, "--severity", "2")
    assert done.exit_code == 2
    assert "at 2; it has" in done.output
    (tmp_path / "p" / "audit.yaml").write_text((tmp_path / "p" / "audit.yaml").read_text() + "# changed\n")
    done = invoke("export", out, "--to", "coco", "--audit", tmp_path / "p" / "audit.yaml")
    assert done.exit_code == 2
    assert "was changed since" in done.output
    (out / "run.json").unlink()
    done = invoke("export", out, "--to", "coco")
    assert done.exit_code == 2
    assert "say it with --audit FILE" in done.output
    done = invoke("export", out, "--to", "coco", "--audit", shown / "audit.yaml")
    assert done.exit_code == 0, done.output
    done = invoke("export", out, "--to", "coco", "--audit", shown / "audit.yaml")
    assert done.exit_code == 2
    assert "it is there already" in done.output
    next((out / "measurements").glob("*.parquet")).unlink()
    done = invoke("export", out, "--to", "coco", "--audit", shown / "audit.yaml", "-o", tmp_path / "again")
    assert done.exit_code == 2
    assert "run the audit again" in done.output
