"""How the pages look and weigh: to who sees otherwise, beside what was seen before, and with many rows."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import tarfile
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from browsing import Opened
from made_pages import rendered, wide_gallery, wide_result

from auditor.evaluate.versus import Run, compare_runs
from auditor.report.compare_page import render_comparison

pytestmark = pytest.mark.browser

GOLDEN = Path(__file__).parent / "golden" / "views"
SAMPLE = Path(__file__).parents[1] / "reports" / "sample"
AXE = "https://registry.npmjs.org/axe-core/-/axe-core-4.10.3.tgz"
AXE_SHA512 = (
    "5e6edba515e70d25f6604d9815f064d859c5d1ea7ab661bbc4f87c88779ef0c2"
    "1cae0abbeb636471ef39e9d62d2582e4b88a1866f19f4ecfcf6d986275e4dc12"
)


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The script of axe-core, from npm's registry, checked by its digest."""
    given = os.environ.get("AUDITOR_AXE")
    if given:
        return Path(given)
    try:
        with urllib.request.urlopen(AXE, timeout=60) as answer:
            packed = answer.read()
    except OSError as error:
        pytest.skip(f"{AXE} cannot be had ({error}); AUDITOR_AXE may name axe.min.js")
    assert hashlib.sha512(packed).hexdigest() == AXE_SHA512
    path = tmp_path_factory.mktemp("axe") / "axe.min.js"
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        path.write_bytes(archive.extractfile("package/axe.min.js").read())
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("which", ["report", "comparison"])
def test_nobody_is_kept_out(browser, tmp_path, axe, scheme, width, which):
    result = wide_result(models=2, scenarios=5, severities=2)
    path = tmp_path / "page.html"
    path.write_text(rendered(result, wide_gallery(result, images=2)) if which == "report" else compared(result))
    with Opened(browser, path, width=width, color_scheme=scheme, bypass_csp=True) as opened:
        opened.ask("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
        opened.page.add_script_tag(path=axe)
        found = opened.ask("axe.run(document, { resultTypes: ['violations'] })")
        assert [(item["id"], [node["html"][:200] for node in item["nodes"][:3]]) for item in found["violations"]] == []


def compared(result):
    """The page of a run beside one that is worse."""
    cells = [dataclasses.replace(c, metrics={**c.metrics, "AP": worse(c.metrics["AP"])}) for c in result.cells]
    return render_comparison(compare_runs(Run(result, {}), Run(dataclasses.replace(result, cells=tuple(cells)), {})))


def worse(metric):
    return dataclasses.replace(
        metric, value=metric.value / 2, interval=(metric.value / 2 - 0.01, metric.value / 2 + 0.01)
    )


def test_a_comparison_says_where_it_is_worse(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(compared(wide_result(models=2, scenarios=5, severities=2)))
    with Opened(browser, path, width=390) as opened:
        page = opened.page
        assert page.locator(".chip").inner_text() == "WORSE"
        assert page.locator("#where ~ .scroll").first.locator("td", has_text="▼ worse").count() == 2 * 6
        assert opened.ask("document.documentElement.scrollWidth") <= 390
        assert opened.ask("violations") == []
        page.locator("button.theme").click()
        assert opened.ask("document.documentElement.dataset.theme") == "dark"


def test_500_cells_are_light_and_quick(browser, wide):
    """Budgets: a page of 500 cells with its gallery."""
    assert wide.stat().st_size < 15e6
    with Opened(browser, wide) as opened:
        ready = opened.ask("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        assert ready < 1500
        spent = opened.ask(
            """() => [
                ['metric', 'recall'], ['at', 'worst'], ['sort', 'loss'],
                ['scenario', 'noise/condition_2'], ['file', 'model_1'],
            ].map(([key, value]) => {
                const begin = performance.now();
                auditorView.set({ [key]: value });
                document.body.getBoundingClientRect();
                return performance.now() - begin;
            })"""
        )
        assert max(spent) < 100, spent


def test_many_rows_and_columns_keep_their_heads(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(rendered(wide_result(models=8, levels=5, scenarios=60, severities=1)))
    with Opened(browser, path, "matrix") as opened:
        page = opened.page
        assert page.locator("#matrix .wide tr.family").count() == 8
        frame = page.locator("#matrix .wide .scroll")
        frame.evaluate("(frame) => frame.scrollTo(900, 700)")
        box = frame.bounding_box()
        head = page.locator("#matrix .wide thead tr:nth-child(2) th").first.bounding_box()
        name = page.locator("#matrix .wide tr[data-r='20'] th.m").bounding_box()
        assert box["y"] <= head["y"] < box["y"] + 60
        assert abs(name["x"] - box["x"]) < 3
        assert opened.ask("document.documentElement.scrollWidth") <= 1440


VIEWS = {
    "first": ("", 1440, 900, "light"),
    "first-narrow": ("", 390, 844, "light"),
    "matrix-dark": ("matrix?metric=recall&at=worst&sort=loss&theme=dark", 1440, 900, "light"),
    "gallery": ("gallery?scenario=noise%2Fcondition_2&file=model_1", 1440, 1000, "light"),
    "curves": ("curves?scenario=noise%2Fcondition_2", 1440, 700, "light"),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_looks_as_it_did(browser, wide, name, tmp_path):
    """Golden images, with a tolerance for fonts; `AUDITOR_GOLDEN=1` takes them again. Look at each before."""
    fragment, width, height, scheme = VIEWS[name]
    with Opened(browser, wide, fragment, width=width, height=height, color_scheme=scheme) as opened:
        opened.page.wait_for_timeout(200)
        taken = tmp_path / "view.png"
        opened.page.screenshot(path=taken)
    golden = GOLDEN / f"{name}.webp"
    seen = cv2.imread(str(taken))
    if os.environ.get("AUDITOR_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(golden), seen, [cv2.IMWRITE_WEBP_QUALITY, 60])
    known = cv2.imread(str(golden))
    assert known.shape == seen.shape
    small = [cv2.resize(image, (width // 8, height // 8), interpolation=cv2.INTER_AREA) for image in (known, seen)]
    apart = np.abs(small[0].astype(float) - small[1].astype(float)).max(axis=2)
    assert (apart > 40).mean() < 0.02, f"{(apart > 40).mean():.1%} of the view looks otherwise"


def test_the_sample_report_and_its_screenshots(browser):
    """The report that is committed opens, is small, and its pictures for the README are made again where asked for."""
    assert (SAMPLE / "report.html").stat().st_size < 2e6
    with Opened(browser, SAMPLE / "report.html") as opened:
        assert opened.page.locator(".verdict strong").inner_text() == "FAILED"
        assert opened.page.locator("#curves figure").count() == 15
        assert opened.page.locator(".viewer .after").is_visible()
        if os.environ.get("AUDITOR_SCREENSHOT"):
            opened.page.screenshot(path=SAMPLE / "report.png")
    if os.environ.get("AUDITOR_SCREENSHOT"):
        with Opened(browser, SAMPLE / "report.html", "gallery?scenario=noise%2Fshot") as opened:
            opened.page.locator("input[name=wipe]").fill("45")
            opened.page.wait_for_timeout(200)
            opened.page.locator(".viewer").screenshot(path=SAMPLE / "gallery.jpg", type="jpeg", quality=82)
