"""What the script of the page does, in a real browser."""

from __future__ import annotations

import pytest
from reports import write
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(make_tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    networks = {f"net{i}": {"kind": "features", "layers": [f"layer{i}"]} for i in range(12)}
    roles = {"condition": "tasks/both", "easy": "easy", "hard": "hard"}
    claims = {"C1": roles, "C20": {"easy": "tasks/easy", "hard": "tasks/both"}}
    study = {"networks": networks, "claims": claims}
    write(folder, make_tables(), figures=["variance"], study=study)
    return folder


@pytest.fixture
def page(browser, folder):
    browser.get((folder / "report.html").as_uri())
    return browser


def column(page, section, n):
    """Return the shown cells of a section's last table."""
    table = page.find_elements(By.CSS_SELECTOR, f"#{section} table")[-1]
    return [cell.text for cell in table.find_elements(By.CSS_SELECTOR, f"td:nth-child({n})")]


def header(page, section, name):
    return page.find_element(By.XPATH, f"//*[@id='{section}']//th[button[text()='{name}']]")


def test_tables_are_sorted_by_the_keyboard_as_numbers_and_as_text(page):
    seconds = header(page, "times", "Seconds")
    assert seconds.get_attribute("aria-sort") is None
    for direction, found in (("ascending", ["2.0", "30.5"]), ("descending", ["30.5", "2.0"])):
        seconds.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
        assert seconds.get_attribute("aria-sort") == direction
        assert column(page, "times", 3) == found
    header(page, "times", "Step").find_element(By.TAG_NAME, "button").click()
    assert column(page, "times", 1) == ["claims", "train"]
    assert seconds.get_attribute("aria-sort") is None
    header(page, "run", "Network").find_element(By.TAG_NAME, "button").click()
    assert column(page, "run", 1) == [f"net{i}" for i in range(12)], "10 is behind 9"


def test_long_tables_are_filtered_by_words_and_by_whole_cells(page):
    assert not page.find_elements(By.CSS_SELECTOR, "#times .filter"), "two rows are not many"
    field = page.find_element(By.CSS_SELECTOR, "#run .filter input")
    for typed, found in (("NET1 stimulus", [1, 10, 11]), ('"net1"', [1]), ("absent", [])):
        field.clear()
        field.send_keys(typed)
        assert column(page, "run", 1) == [f"net{i}" for i in found]
        said = page.find_element(By.CSS_SELECTOR, "#run .filter output").text
        assert said == f"{len(found)} of 12"
    field.clear()
    field.send_keys(Keys.SPACE)
    assert len(column(page, "run", 1)) == 12


def test_a_claim_leads_to_the_rows_that_it_was_decided_on(page):
    page.find_element(By.CSS_SELECTOR, "a[data-filter='\"C1\"']").click()
    rows = "rows-variance_explained"
    WebDriverWait(page, 10).until(lambda _: set(column(page, rows, 2)) == {"tasks/both"})
    assert set(column(page, rows, 1)) == {"C1, C20"}
    field = page.find_element(By.CSS_SELECTOR, f"#{rows} input")
    assert field.get_attribute("value") == '"C1"'
    field.clear()
    field.send_keys(Keys.SPACE)
    assert set(column(page, rows, 2)) == {"tasks/both", "tasks/easy"}
    header(page, rows, "r2").find_element(By.TAG_NAME, "button").click()
    numbers = [float(cell) for cell in column(page, rows, 6)]
    assert numbers == sorted(numbers)


def test_a_figure_is_saved_from_the_page_under_a_name_that_says_what_it_is(page, folder, tmp_path):
    """Without the folder of figures beside it: the page may have been sent by itself."""
    settings = {"behavior": "allow", "downloadPath": str(tmp_path)}
    page.execute_cdp_cmd("Browser.setDownloadBehavior", settings)
    link = page.find_element(By.CSS_SELECTOR, "#variance a[download]")
    WebDriverWait(page, 10).until(lambda _: link.get_attribute("href").startswith("blob:"))
    link.click()
    saved = tmp_path / "quick_variance.svg"
    WebDriverWait(page, 10).until(lambda _: saved.is_file())
    assert saved.read_bytes() == (folder / "figures" / "variance.svg").read_bytes()


def test_marks_of_a_figure_say_what_they_are_when_the_pointer_comes(page):
    """Images have no tooltips, so the figure is drawn in its place, of the same size."""
    image = page.find_element(By.CSS_SELECTOR, "#variance img")
    WebDriverWait(page, 10).until(lambda _: image.get_attribute("src"))
    size, words = image.size, image.get_attribute("alt")
    ActionChains(page).move_to_element(image).perform()
    drawing = page.find_element(By.CSS_SELECTOR, "#variance .drawing")
    assert (drawing.size, drawing.accessible_name) == (size, words)
    titles = "return [...arguments[0].querySelectorAll('use title')].map((t) => t.textContent)"
    said = page.execute_script(titles, drawing.shadow_root)
    assert any(text.startswith("tasks, both, hidden2, seed 0, feature easy") for text in said)


@pytest.fixture
def narrow(page):
    """The page on a phone."""
    override = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", override)
    yield page
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_is_wider_than_the_page_and_nothing_else_is_reached_by_the_keyboard(narrow):
    """Of axe-core's rules: scrollable-region-focusable, and landmark-one-main."""
    areas = """return [...document.querySelectorAll(".scroll")]
        .filter((area) => area.checkVisibility())
        .map((area) => [area.scrollWidth > area.clientWidth, area.tabIndex === 0])"""

    def agree_on(some):
        """Whether every part is reached where it is wider, which is so of some."""
        found = narrow.execute_script(areas)
        return [some, some] in found and all(wider == reached for wider, reached in found)

    WebDriverWait(narrow, 10).until(lambda _: agree_on(True))
    narrow.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    narrow.set_window_size(1600, 900)
    WebDriverWait(narrow, 10).until(lambda _: agree_on(False))
    outside = "return [...document.body.children].map((element) => element.tagName)"
    assert narrow.execute_script(outside) == ["NOSCRIPT", "HEADER", "MAIN", "SCRIPT"]


def test_tables_are_printed_whole_and_without_their_controls(page):
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = page.execute_script(
        """return [".filter", "nav", ".scroll"].map(
            (name) => getComputedStyle(document.querySelector(name)))
            .map(({ display, overflowX }) => [display, overflowX])"""
    )
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert [display for display, _ in shown[:2]] == ["none", "none"]
    assert shown[2][1] == "visible"
