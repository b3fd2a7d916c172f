"""The pages in a real browser: nothing fetched, nothing overflows, every control does what it says, by mouse, keys and
link, in both themes, on paper and without scripts."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import pytest
from browsing import Opened
from made_pages import WICKED, rendered, wide_gallery, wide_result
from pypdf import PdfReader

from auditor import extensions
from auditor.evaluate.robustness import summarize
from auditor.judge.catalogue import CATALOGUE
from auditor.judge.verdict import judge

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def wicked(tmp_path_factory):
    """A page whose models, classes and images are called the worst."""
    names = (WICKED, "مرحبا بالعالم", "夜間カメラの検出器", "x" * 200, "a&b</script><script>alert(1)</script>")
    result = wide_result(names=names, scenarios=4, severities=2)
    path = tmp_path_factory.mktemp("wicked") / "report.html"
    path.write_text(rendered(result, wide_gallery(result, images=2, label=WICKED)))
    return path


@pytest.mark.parametrize("width", [390, 768, 1440, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_fetches_nothing_and_keeps_its_policy(browser, wide, width, scheme):
    with Opened(browser, wide, width=width, color_scheme=scheme) as opened:
        opened.ask("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
        assert opened.ask("document.documentElement.scrollWidth") <= width
        others = [url for url in opened.asked if not url.startswith("data:")]
        assert others == [opened.url]
        assert opened.ask("violations") == []


def test_the_policy_allows_no_inline_code_but_its_own(browser, wide):
    text = wide.read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "unsafe" not in policy
    assert "default-src &#39;none&#39;" in policy
    assert "style=" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
    with Opened(browser, wide) as opened:
        opened.ask(
            "() => { const s = document.createElement('script'); s.textContent = 'globalThis.ran = 1';"
            "document.body.append(s); }"
        )
        assert opened.ask("globalThis.ran") is None
        assert opened.ask("violations") == ["script-src-elem"]
        opened.errors.clear()  # it is told on the console, too


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_the_first_screen_has_verdict_reasons_and_where_to_go(browser, wide, size):
    with Opened(browser, wide, width=size[0], height=size[1]) as opened:
        page = opened.page
        assert page.locator(".verdict strong").inner_text() == "FAILED"
        assert 1 <= page.locator(".reasons > li").count() <= 3
        assert page.locator(".reasons > li").first.bounding_box()["y"] < size[1]
        if size[0] > 700:
            assert page.locator("table.lines tbody tr").last.bounding_box()["y"] < size[1]
        page.locator("nav a", has_text="Trust").click()
        assert page.locator("#repeat h2").bounding_box()["y"] < size[1]
        assert page.locator(".bar").bounding_box()["y"] == 0  # always in view
        assert page.locator("nav a[aria-current]").inner_text() == "Trust"


def test_a_reason_leads_to_its_evidence(browser, wide):
    with Opened(browser, wide) as opened:
        opened.page.locator(".reasons a").first.click()
        assert "matrix?" in opened.fragment
        assert opened.page.locator("#matrix .wide td.on").count() == 1


def test_the_matrix_shows_the_metric_and_severity_that_is_asked_for(browser, wide):
    result = wide_result()
    cell = next(
        c for c in result.cells if c.file == "model_1" and c.scenario == "noise/condition_2" and c.severity == 4
    )
    column = list(dict.fromkeys(c.scenario for c in result.cells if c.severity)).index("noise/condition_2")
    with Opened(browser, wide) as opened:
        page = opened.page
        place = page.locator(f"#matrix .wide td[data-r='1'][data-c='{column}']")
        before = place.inner_text()
        page.select_option("select[name=metric]", "recall")
        page.select_option("select[name=at]", "4")
        assert place.inner_text().startswith(f"{cell.metrics['recall'].value:.3f}")
        assert "metric=recall" in opened.fragment
        page.select_option("select[name=metric]", "flips")
        assert place.inner_text().startswith(f"{cell.metrics['flips'].value:.3f}")
        page.select_option("select[name=metric]", "fppi")
        page.select_option("select[name=at]", "worst")
        worst = max(c.metrics["fppi"].value for c in result.cells if (c.file, c.scenario) == (cell.file, cell.scenario))
        assert place.inner_text().startswith(f"{worst:.3f}")
        page.select_option("select[name=metric]", "AP")
        page.select_option("select[name=at]", "mean")
        assert place.inner_text() == before  # as it was written without a script


def test_a_link_shows_the_same_view(browser, wide):
    fragment = "matrix?metric=recall&at=4&sort=loss&file=model_1&scenario=noise%2Fcondition_2&theme=dark"
    with Opened(browser, wide, fragment) as opened:
        page = opened.page
        assert page.locator("select[name=metric]").input_value() == "recall"
        assert page.locator("select[name=at]").input_value() == "4"
        assert opened.ask("document.documentElement.dataset.theme") == "dark"
        assert page.locator("#matrix h2").bounding_box()["y"] < 200
        assert page.locator("#curves figure:visible").count() == 1
        assert page.locator("#matrix .wide td.on").get_attribute("data-r") == "1"
        kept = page.locator("#matrix .wide tbody tr[data-r='0'] td[data-c] small").all_inner_texts()
        assert [float(text[:-1]) for text in kept] == sorted(float(text[:-1]) for text in kept)
        with Opened(browser, wide, opened.ask("location.hash.slice(1)")) as again:
            assert again.page.locator("#matrix .wide").inner_html() == page.locator("#matrix .wide").inner_html()


@pytest.mark.parametrize(
    "fragment",
    [
        "%E0%A4%A",
        "matrix?metric=nonsense&at=99&sort=x&file=..&scenario=..&image=999&score=abc&class=zzz&theme=purple",
        "gallery?score=9&class=zzz&image=-1",
        "matrix?at=3.0",
    ],
)
def test_a_link_that_says_nonsense_does_no_harm(browser, wide, fragment):
    with Opened(browser, wide, fragment) as opened:
        page = opened.page
        assert "image_0.jpg" in page.locator(".viewer .caption").inner_text()
        assert "NaN" not in page.locator(".viewer").inner_text()
        assert page.locator("select[name=at]").input_value() == ("3" if "3.0" in fragment else "mean")


def test_the_way_back_leads_to_where_a_link_was(browser, wide):
    with Opened(browser, wide) as opened:
        page = opened.page
        page.locator(".reasons a").first.click()
        page.locator("nav a", has_text="Trust").click()
        page.go_back()
        assert opened.fragment.startswith("#matrix?")
        assert page.locator("#matrix .wide td.on").count() == 1
        page.go_back()
        assert page.locator("h1").bounding_box()["y"] < 200


def test_every_link_leads_somewhere(browser, wide):
    with Opened(browser, wide) as opened:
        links = opened.ask(
            "[...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.getAttribute('href').slice(1))"
        )
        places = {link.partition("?")[0] for link in links}
        assert [place for place in places if opened.ask("(id) => !document.getElementById(id)", place)] == []


def test_keys_scroll_a_table_that_has_the_focus(browser, wide):
    with Opened(browser, wide, width=900) as opened:
        page = opened.page
        before = page.locator(".viewer .caption").inner_text()
        page.locator("#matrix .wide .scroll").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(300)
        assert page.locator("#matrix .wide .scroll").evaluate("(frame) => frame.scrollLeft") > 0
        assert page.locator(".viewer .caption").inner_text() == before


def test_a_cell_filters_all_below_and_says_its_interval(browser, wide):
    with Opened(browser, wide) as opened:
        page = opened.page
        place = page.locator("#matrix .wide td[data-r='2'][data-c='3']")
        page.select_option("select[name=at]", "3")
        place.hover()
        about = page.locator("#about-cell").inner_text()
        assert "95 %" in about
        assert "exposure -3 stops, severity 3" in about
        place.click()
        assert page.locator("#curves figure:visible").count() == 1
        assert page.locator("details.roll:visible").count() == 1
        assert page.locator(".filtered").inner_text().startswith("Below: model_2")
        page.locator(".filtered button").click()
        assert page.locator("#curves figure:visible").count() == 20


def test_the_matrix_is_walked_by_keys(browser, wide):
    with Opened(browser, wide) as opened:
        page = opened.page
        page.locator("#matrix .wide td[tabindex='0']").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        here = "[document.activeElement.dataset.r, document.activeElement.dataset.c]"
        assert opened.ask(here) == ["1", "1"]
        assert "model_1" in page.locator("#about-cell").inner_text()
        page.keyboard.press("Enter")
        assert "file=model_1" in opened.fragment


def test_what_is_lost_is_told_apart_from_what_is_bad(browser, tmp_path):
    result = wide_result(models=2, scenarios=4, severities=2)
    cells = []
    for cell in result.cells:
        if cell.file == "model_0" and cell.scenario == "noise/condition_2":
            cell = dataclasses.replace(cell, status="failed", error="it broke", metrics={})
        if cell.file == "model_0" and cell.scenario == "weather/condition_3":
            cell = dataclasses.replace(cell, status="skipped", error="no delegate", metrics={})
        if cell.file == "model_1":
            zero = dataclasses.replace(cell.metrics["AP"], value=0.0)
            cell = dataclasses.replace(cell, metrics={**cell.metrics, "AP": zero})
        cells.append(cell)
    summaries = summarize(tuple(cells), judged_by={"model_0": "AP", "model_1": "AP"})
    result = dataclasses.replace(result, cells=tuple(cells), summaries=summaries)
    path = tmp_path / "report.html"
    path.write_text(rendered(judge(result, extensions.every("checks"), CATALOGUE)))
    with Opened(browser, path) as opened:
        page = opened.page
        texts = page.locator("#matrix .wide tr[data-r='0'] td.lost").all_inner_texts()
        assert sorted(texts) == ["failed", "skipped"]
        broken = page.locator("#matrix .wide tr[data-r='1'] td")
        assert broken.count() == 1
        assert "finds next to nothing" in broken.inner_text()
        page.locator("#matrix .wide td.failed").hover()
        assert "it broke" in page.locator("#about-cell").inner_text()


def test_what_happens_over_frames_is_told_with_its_worst(browser, wide):
    with Opened(browser, wide, "clip_metrics") as opened:
        rows = opened.page.locator("#clip_metrics tbody tr")
        assert rows.count() == 1
        told = rows.first.locator("td").first.inner_text()
        worst = float(re.search(r"worst: ([\d.]+)\s+\w+/\w+ \d", told)[1])
        assert worst > float(told.split()[0]) == 0.05


def test_the_gallery_is_walked_by_keys_and_shows_what_is_missed(browser, wide):
    with Opened(browser, wide, "gallery?scenario=noise%2Fcondition_2&file=model_1") as opened:
        page = opened.page
        caption = page.locator(".viewer .caption")
        assert "image_0.jpg" in caption.inner_text()
        for key, name in (("j", "image_1"), ("ArrowRight", "image_2"), ("k", "image_1"), ("ArrowLeft", "image_0")):
            page.keyboard.press(key)
            assert name in caption.inner_text(), key
        assert "image=0" in opened.fragment
        layer = page.locator(".marks-layer")
        assert layer.locator("rect.missed").count() == 1
        assert layer.locator("rect.found").count() == 2
        assert layer.locator("rect.alarm").count() == 1
        assert "✗ missed: dog" in layer.inner_html()
        assert page.locator(".viewer .after").get_attribute("src").startswith("data:image/webp;base64,")
        assert opened.ask("document.querySelector('.viewer .after').naturalWidth") == 480


def test_the_score_slider_matches_anew(browser, wide):
    with Opened(browser, wide, "gallery?scenario=noise%2Fcondition_2&file=model_1") as opened:
        page, layer = opened.page, opened.page.locator(".marks-layer")
        slider = page.locator("input[name=score]")
        slider.fill("0.2")
        assert layer.locator("rect.missed").count() == 0
        assert "score=0.2" in opened.fragment
        slider.fill("0.95")
        assert layer.locator("rect.missed").count() == 3
        assert layer.locator("rect.alarm").count() == 0
        page.locator("button[name=held]").click()
        assert layer.locator("rect.missed").count() == 1
        page.select_option("select[name=label]", "person")
        assert layer.locator("rect.missed").count() == 0
        assert layer.locator("rect.found").count() == 1


OVERLAPS = """() => {
    const boxes = [...document.querySelectorAll('.marks-layer text')].map((word) => word.getBoundingClientRect());
    const whole = document.querySelector('.viewer .inner').getBoundingClientRect();
    const over = boxes.filter((a, i) => boxes.some((b, j) =>
        j < i && a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom));
    const outside = boxes.filter((a) => a.left < whole.left - 1 || a.right > whole.right + 1);
    return [boxes.length, over.length, outside.length];
}"""


@pytest.mark.parametrize("width", [390, 1440])
def test_no_label_hides_another_or_leaves_the_picture(browser, wide, width):
    with Opened(browser, wide, "gallery?scenario=noise%2Fcondition_2&file=model_1", width=width) as opened:
        opened.page.locator(".viewer input[name=hit]").check()
        opened.page.locator("input[name=score]").fill("0.2")
        assert opened.ask(OVERLAPS) == [7, 0, 0]


def test_the_swipe_uncovers_the_clean_picture_and_the_zoom_enlarges(browser, wide):
    with Opened(browser, wide, "gallery?scenario=noise%2Fcondition_2&file=model_1") as opened:
        page = opened.page
        assert opened.ask("document.querySelector('.viewer .before').style.clipPath") == "inset(0px 100% 0px 0px)"
        page.locator("input[name=wipe]").fill("60")
        assert opened.ask("document.querySelector('.viewer .before').style.clipPath") == "inset(0px 40% 0px 0px)"
        width = page.locator(".viewer .inner").bounding_box()["width"]
        page.locator("button[name=in]").click()
        assert page.locator(".viewer .inner").bounding_box()["width"] == pytest.approx(1.5 * width, rel=0.01)
        assert opened.ask("document.documentElement.scrollWidth") <= 1440


def test_findings_are_filtered_by_level_and_their_lines_are_copied(browser, finished):
    with Opened(browser, finished / "out" / "report.html", permissions=["clipboard-read", "clipboard-write"]) as opened:
        page = opened.page
        shown = page.locator("#finding_list > article:visible")
        every = shown.count()
        box = page.locator("form.levels input[value=info]")
        assert every > 1
        box.uncheck()
        assert 0 < shown.count() < every or page.locator("#finding_list .nothing").is_visible()
        assert "level=" in opened.fragment
        box.check()
        assert shown.count() == every
        page.locator("#repeat button.copy").click()
        assert opened.ask("navigator.clipboard.readText()") == "auditor run audit.yaml"


def test_result_and_cells_are_saved_from_the_page(browser, finished):
    with Opened(browser, finished / "out" / "report.html") as opened:
        with opened.page.expect_download() as waiting:
            opened.page.locator("button[data-save=json]").click()
        saved = json.loads(Path(waiting.value.path()).read_text())
        whole = json.loads((finished / "out" / "result.json").read_text())
        assert saved["verdict"] == whole["verdict"]
        assert len(saved["cells"]) == len(whole["cells"])
        with opened.page.expect_download() as waiting:
            opened.page.locator("button[data-save=csv]").click()
        rows = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
        assert len(rows) == sum(len(cell["metrics"]) for cell in whole["cells"])
        cell = whole["cells"][0]
        row = next(row for row in rows if row["scenario"] == cell["scenario"] and row["metric"] == "AP")
        assert float(row["value"]) == pytest.approx(cell["metrics"]["AP"]["value"], rel=1e-5)


def test_the_theme_is_switched_and_kept_in_the_link(browser, wide):
    with Opened(browser, wide, color_scheme="light") as opened:

        def paper():
            return opened.ask("getComputedStyle(document.body).backgroundColor")

        light = paper()
        opened.page.locator("button.theme").click()
        assert paper() != light
        assert "theme=dark" in opened.fragment
        opened.page.locator("button.theme").click()
        assert paper() == light


def test_names_from_files_do_nothing_and_break_nothing(browser, wicked):
    for width in (390, 1440):
        with Opened(browser, wicked, "gallery", width=width) as opened:
            page = opened.page
            assert opened.ask("violations") == []
            assert "broken" not in page.title()
            assert page.locator("img[src='x']").count() == 0
            assert opened.ask("document.documentElement.scrollWidth") <= width
            assert WICKED in page.locator("select[name=label]").inner_text()
            assert WICKED in page.locator("select[name=row]").inner_text()
            page.keyboard.press("j")


def test_the_page_reads_without_scripts(browser, wide):
    with Opened(browser, wide, scripts=False) as opened:
        page = opened.page
        assert page.locator(".verdict strong").inner_text() == "FAILED"
        assert page.locator("#matrix .wide td[data-c]").count() == 100
        assert page.locator("#matrix form").is_hidden()
        assert page.locator("button:visible").count() == 0
        page.locator("details.roll summary").first.click()
        assert page.locator("details.roll[open] img").first.is_visible()
        page.locator("nav a", has_text="Findings").click()
        assert page.url.endswith("#finding_list")


def test_it_prints_what_a_manager_needs(browser, wide, tmp_path):
    with Opened(browser, wide) as opened:
        opened.page.emulate_media(media="print")
        opened.page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True, format="A4", print_background=True)
        assert opened.ask("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    pages = [page.extract_text() for page in PdfReader(tmp_path / "report.pdf").pages]
    text = "\n".join(pages)
    assert "FAILED" in text
    for scenario in dict.fromkeys(c.scenario for c in wide_result().cells if c.severity):
        assert scenario in text, scenario
    assert "model_4" in text
    assert re.search(rf"\b1 / {len(pages)}", pages[0])
    assert len(pages) <= 25
