"""The report in a real browser: it shows its figures, fits a phone, and logs no error."""

import pytest
from selenium.webdriver.support.ui import WebDriverWait

from repbias.report.findings import SHARES

pytestmark = pytest.mark.slow


@pytest.fixture(params=[(1280, 800), (390, 844)], ids=["laptop", "phone"])
def page(request, browser, tiny):
    width, height = request.param
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.get((tiny.results / "report.html").as_uri())
    WebDriverWait(browser, 30).until(
        lambda b: b.execute_script(
            "return [...document.images].every(i => !i.dataset.svgz && i.complete)"
        )
    )
    return browser


def test_figures_are_shown(page, tiny):
    sizes = page.execute_script(
        "return [...document.images].map(i => [i.alt, i.complete && i.naturalWidth, i.width])"
    )
    assert len(sizes) == len(list((tiny.results / "figures").glob("*.svg")))
    assert all(natural > 100 and shown > 300 for _, natural, shown in sizes), sizes


def test_the_first_screen_answers_what_a_reader_wants_to_know(page):
    """Unscrolled on a laptop: the best model, the largest share, what remains, could it tell."""
    findings = page.find_element("css selector", "#findings")
    shown = {}
    for word in findings.find_elements("css selector", "dt"):
        shown.setdefault(word.text, word.rect["y"] + word.rect["height"])
    height, width, scrolled = page.execute_script(
        "return [window.innerHeight, window.innerWidth, window.scrollY]"
    )
    assert scrolled == 0
    for question in ("Best model", SHARES, "What remains", "Could it tell them apart"):
        assert question in shown
        assert shown[question] < height or width < 640, question


def test_claims_are_listed(page):
    text = page.find_element("css selector", "#claims").text
    for name in ("C1", "C19", "C25", "supported"):
        assert name in text


def test_no_error_is_logged_and_nothing_is_fetched(page):
    assert [entry for entry in page.get_log("browser") if entry["level"] != "INFO"] == []
    fetched = page.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name)"
    )
    assert [name for name in fetched if not name.startswith(("data:", "blob:"))] == []


def test_the_page_does_not_scroll_sideways(page):
    excess = page.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert excess <= 0
