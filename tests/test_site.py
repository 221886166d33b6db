"""The built site in a real browser, in which no other host can be reached."""

import json

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from browsing import opened
from fontTools.ttLib import TTFont

from tools.build_site import ROOT, SITE, pages, source
from tools.measure import measure, served

PAGES = pages(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")))
CHAPTERS = [page for page in PAGES if source(page).suffix == ".ipynb"]
ADDRESS = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
COLOURS = ["color-contrast", "link-in-text-block"]  # axe's rules that dark mode can break
SIZES = ["scrollable-region-focusable", "target-size"]  # and those that a narrow screen can
pytestmark = pytest.mark.spread("page")
every_chapter = pytest.mark.parametrize("page", CHAPTERS, indirect=True, scope="module")


@pytest.fixture(scope="module")
def server():
    with served() as address:
        yield address


@pytest.fixture(scope="module")
def tab(chromium, server):
    bases = (f"{server}/", f"{SITE.as_uri()}/")
    with opened(chromium, *bases, says=("error", "warning")) as tab:
        yield tab


@pytest.fixture(scope="module", params=PAGES)
def page(request, tab, server):
    """The tab with one page of the site loaded; all tests of a page share one visit."""
    tab.name = request.param
    answer = tab.goto(f"{server}/{tab.name}.html", wait_until="networkidle")
    assert answer.status == 200
    return tab


@pytest.fixture(autouse=True)
def plain(tab):
    """Each test starts with a wide, light screen; what went wrong in the tab fails it."""
    tab.emulate_media(media="screen", color_scheme="light")
    tab.set_viewport_size({"width": 1280, "height": 900})
    yield
    troubles = list(dict.fromkeys(tab.troubles))
    tab.troubles.clear()
    assert not troubles, "\n".join(troubles)


def test_page_says_what_it_is(page):
    assert page.locator("article h1").first.inner_text().strip("#\n ") in page.title()
    assert page.locator("html").get_attribute("lang") == "en"
    described = page.locator("meta[name=description]")
    assert described.count() == 1
    assert 40 <= len(described.get_attribute("content")) <= 160


def test_page_costs_its_reader_little(page, server):
    assert measure(page.context.browser, server, page.name).faults() == []


def test_icons_are_in_the_font_that_was_cut_for_them(page):
    drawn = page.evaluate("siteChecks.icons()")
    assert (
        drawn
        and set(map(ord, drawn)) <= TTFont(SITE / "_static" / "icons.woff").getBestCmap().keys()
    )


def test_formulas_are_drawn(page):
    page.evaluate("siteChecks.fold(true)")
    assert page.evaluate("siteChecks.formulas()") == []


def test_pictures_have_words(page):
    assert page.evaluate("siteChecks.pictures()") == []


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_scrolls_sideways(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("siteChecks.sideways()") == []


@pytest.mark.parametrize(
    ("width", "scheme", "rules"),
    [(1280, "light", None), (1280, "dark", COLOURS), (320, "light", SIZES)],
    ids=["light", "dark", "narrow"],
)
def test_axe_finds_nothing_serious(page, width, scheme, rules):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("siteChecks.fold(true); siteChecks.thin(true)")
    page.wait_for_selector(f"html[data-theme={scheme}]")
    page.wait_for_timeout(500)  # the theme looks at what scrolls a moment after a resize
    options = {"resultTypes": ["violations"], "preload": False}
    if rules:
        options["runOnly"] = {"type": "rule", "values": rules}
    found = Axe().run(page, "main", options).response["violations"]
    page.evaluate("siteChecks.thin(false)")
    serious = [
        f"{rule['id']}: {node['html'][:160]} {[reason['message'] for reason in node['any']]}"
        for rule in found
        if rule["impact"] in ("critical", "serious")
        for node in rule["nodes"]
    ]
    assert not serious, "\n".join(serious)


def test_print_shows_everything(page):
    page.evaluate("siteChecks.fold(false)")
    page.emulate_media(media="print")
    assert page.evaluate("siteChecks.unprinted()") == []
    assert not page.locator(".bd-sidebar-primary").is_visible()


def test_colab_button_only_with_an_address(page):
    links = page.evaluate("[...document.querySelectorAll('a[href*=colab]')].map(a => a.href)")
    expected = []
    if ADDRESS and page.name in CHAPTERS:
        repository = ADDRESS.removeprefix("https://github.com/")
        place = f"{repository}/blob/main/{page.name}.ipynb"
        expected = [f"https://colab.research.google.com/github/{place}"]
    assert links == expected


@every_chapter
def test_solutions_are_folded_and_open(page):
    page.evaluate("siteChecks.fold(false)")
    folds = page.locator("details.hide")
    assert folds.count() >= 3, "a chapter has three exercises or more, each with a solution"
    title, code = folds.first.locator("summary"), folds.first.locator("pre").first
    assert (title.inner_text().strip(), code.is_visible()) == ("Show solution", False)
    title.click()
    assert (title.inner_text().strip(), code.is_visible()) == ("Hide solution", True)


@every_chapter
def test_chapter_can_be_downloaded(page):
    link = page.locator("a.btn-download-source-button").get_attribute("href")
    answer = page.request.get(page.evaluate("link => new URL(link, location).href", link))
    assert answer.ok
    assert json.loads(answer.body()) == json.loads(source(page.name).read_bytes())


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_first_screen_of_the_index_shows_the_explorer_at_work(tab, server, width):
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"{server}/{PAGES[0]}.html", wait_until="networkidle")
    lowest = ["article h1", "article strong", ".me-head"]
    lowest += [".me-grid", "[role=status]"] if width == 1280 else [".me-page"]
    for part in lowest:
        box = tab.locator(part).first.bounding_box()
        top_line = box["y"] + min(box["height"], 40 if part == "[role=status]" else 900)
        assert box["height"] > 0 and top_line <= 900, part


@pytest.mark.parametrize("way", ["server", "file"])
def test_index_keeps_what_it_says(tab, server, way):
    """Page one is remembered after fifty; an answer dies with the slot that keeps it."""
    base = server if way == "server" else SITE.as_uri()
    tab.goto(f"{base}/{PAGES[0]}.html", wait_until="networkidle")
    said = tab.locator("[role=status]")
    assert "the model answers 5" in said.inner_text()
    tab.get_by_role("combobox", name="Story", exact=True).select_option(label="Long gap")
    assert "the model answers 3" in said.inner_text() and "right" in said.inner_text()
    tab.get_by_role("button", name="Start again").click()
    keeper = tab.locator(".me-cell[aria-label*='keeps'][aria-label*='A3']").last
    keeper.click()
    tab.get_by_role("button", name="Erase slot").click()
    assert "A? 3" in said.inner_text() and "wrong" in said.inner_text()


def test_index_without_scripts_shows_the_still_picture(tab, server):
    context = tab.context.browser.new_context(java_script_enabled=False)
    still = context.new_page()
    still.goto(f"{server}/{PAGES[0]}.html")
    picture = still.locator(".mfl-twin svg[role=img]")
    assert picture.is_visible() and "answers" in picture.get_attribute("aria-label")
    assert still.locator("html").get_attribute("data-theme") == "light"
    context.close()


def test_second_skip_link_leads_to_the_chapters(tab, server):
    tab.goto(f"{server}/{PAGES[1]}.html", wait_until="networkidle")
    links = tab.locator(".skip-link a")
    assert links.evaluate_all("links => links.map(link => link.getAttribute('href'))") == [
        "#main-text",
        "#pst-primary-sidebar",
    ]
    links.nth(1).focus()
    for key in ("Enter", "Tab"):
        tab.keyboard.press(key)
    assert tab.evaluate("document.activeElement.closest('#pst-primary-sidebar') !== null")
    tab.locator("main button.primary-toggle").click()
    assert not links.nth(1).is_visible()
    assert tab.locator("article h1").bounding_box()["x"] < 100, "the text takes the free place"
    tab.locator("main button.primary-toggle").click()
    assert links.nth(1).is_visible()
    tab.set_viewport_size({"width": 390, "height": 900})
    assert links.nth(0).is_visible() and not links.nth(1).is_visible()
    tab.locator("main button.primary-toggle").click()
    assert tab.locator("#pst-primary-sidebar-modal a.reference").first.is_visible()


def test_titles_and_descriptions_are_unique(tab, server):
    seen = {}
    for name in PAGES:
        tab.goto(f"{server}/{name}.html")
        for text in (tab.title(), tab.locator("meta[name=description]").get_attribute("content")):
            assert text not in seen, f"{name} and {seen[text]} both say {text!r}"
            seen[text] = name


def test_search_finds_a_word(tab, server):
    tab.goto(f"{server}/search.html?q=bucket", wait_until="networkidle")
    found = tab.evaluate("[...document.querySelectorAll('#search-results li a')].map(a => a.href)")
    assert any("02_bucketing" in link for link in found), found


def test_there_is_one_search_field(tab, server):
    tab.goto(f"{server}/{PAGES[0]}.html")
    fields = tab.locator("button.search-button-field, button.search-button")
    assert sum(fields.nth(i).is_visible() for i in range(fields.count())) == 1


def test_site_opens_from_a_folder(tab):
    tab.goto((SITE / "index.html").as_uri())
    tab.wait_for_url(f"**/{PAGES[0]}.html", wait_until="networkidle")
    for name in (PAGES[0], CHAPTERS[-1]):
        tab.goto((SITE / f"{name}.html").as_uri(), wait_until="networkidle")
        assert tab.locator("article h1").first.is_visible()
