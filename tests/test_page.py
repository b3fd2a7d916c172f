"""The report in a real browser: nothing fetched, nothing overflows, every contrast readable."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium, or set CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_the_page_fits_and_fetches_nothing(finished, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((finished / "out" / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert asked == [(finished / "out" / "report.html").as_uri()]
    assert errors == []
    assert page.locator("svg").count() == 2 + 5
    assert page.locator("h1").inner_text() == "small"
    assert page.locator(".matrix tbody tr").count() == 1
    page.close()


def test_the_sample_report_and_its_screenshot(browser):
    """The report that is committed opens, and its picture for the README is made again where it is asked for."""
    folder = Path(__file__).parents[1] / "reports" / "sample"
    page = browser.new_page(viewport={"width": 1440, "height": 1500})
    page.goto((folder / "report.html").as_uri())
    assert page.locator(".verdict strong").inner_text() == "FAILED"
    assert page.locator(".charts figure").count() == 15 + 5  # scenarios, and how images and boxes are spread
    if os.environ.get("AUDITOR_SCREENSHOT"):
        page.screenshot(path=folder / "report.png")
    page.close()
