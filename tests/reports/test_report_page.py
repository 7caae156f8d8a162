"""The page in a browser: read, without an error in the console, by keyboard, on a phone, in both grounds, printed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from reports.browser import Browser
from reports.library import HOSTILE, hostile, library

from torc_migrations.formatting import escaped
from torc_migrations.reports import as_html, as_markdown, make_report

pytestmark = pytest.mark.slow

WIDE, PHONE = 1200, 390
OPEN_ALL = "document.querySelectorAll('details').forEach(each => { each.open = true })"
# What somebody has to reach who has no mouse.
REACHABLE = "document.querySelectorAll('a[href], summary, [tabindex=\"0\"]')"
FOCUSED = f"[...{REACHABLE}].indexOf(document.activeElement)"
BREADTH = "document.documentElement.scrollWidth"
GROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page about ordinary names, and one about hostile ones."""
    directory = tmp_path_factory.mktemp("pages")
    database, source = library(tmp_path_factory.mktemp("library"))
    reports = {
        "library": make_report(database, source, queries=database.parent / "queries.sql"),
        "hostile": make_report(*hostile(tmp_path_factory.mktemp("hostile"))),
    }
    for name, report in reports.items():
        (directory / f"{name}.html").write_text(as_html(report), encoding="utf-8")
        (directory / f"{name}.md").write_text(as_markdown(report), encoding="utf-8")
    return {path.name: path for path in directory.iterdir()}


@pytest.fixture(params=["library.html", "hostile.html"])
def page(request: pytest.FixtureRequest, pages: dict[str, Path], browser: Browser) -> Iterator[Browser]:
    """A browser that shows a page; nothing may have failed in it at the end, and nothing was loaded."""
    browser.messages.clear()
    browser.show(width=WIDE)
    browser.open(pages[request.param])
    yield browser
    assert browser.messages == []


def test_its_text_is_read(pages: dict[str, Path], browser: Browser) -> None:
    """The sentences and numbers that a person decides by."""
    browser.show(width=WIDE)
    browser.open(pages["library.html"])

    assert browser.evaluate("document.querySelector('h1').innerText") == "3 migrations pending"
    text = browser.evaluate("document.body.innerText")
    assert "table book loses 1 of 3 rows, which the script does not delete itself" in text
    assert re.search(r"book\s+3\s+2\s+-1", text)
    assert "reads more" in text
    assert "idx_book_author (book)" in text


def test_a_table_is_named_among_those_that_change_or_among_the_others(pages: dict[str, Path], browser: Browser) -> None:
    """Not in both lists of rows."""
    browser.show(width=WIDE)
    browser.open(pages["library.html"])
    browser.evaluate(OPEN_ALL)

    named = browser.evaluate(
        "[...document.querySelectorAll('#rows tbody th > code:first-child')].map(e => e.innerText)"
    )
    assert sorted(named) == ["author", "book", "loan", "old_loan", "setting"]
    assert "2 tables with as many rows as before" in browser.evaluate("document.body.innerText")


def test_statements_have_most_of_the_width_of_a_phone(pages: dict[str, Path], browser: Browser) -> None:
    """The bars of their times are left out there."""
    browser.show(width=PHONE)
    browser.open(pages["library.html"])
    browser.evaluate(OPEN_ALL)

    width = "document.querySelector('td.words'){}.offsetWidth"
    assert browser.evaluate(width.format("")) > 0.5 * browser.evaluate(width.format(".closest('table')"))
    browser.show(width=WIDE)
    assert browser.evaluate("document.querySelector('td.bars').offsetWidth") > 0


def test_hostile_names_are_read_as_they_are(pages: dict[str, Path], browser: Browser) -> None:
    """And none of them has become an element or a script."""
    browser.messages.clear()
    browser.show(width=WIDE)
    browser.open(pages["hostile.html"])
    browser.evaluate(OPEN_ALL)

    text = browser.evaluate("document.body.textContent")
    assert [name for name in HOSTILE if escaped(name, keep="\n") not in text] == []
    assert browser.evaluate("document.querySelectorAll('script, img, iframe, object, link').length") == 0
    assert browser.messages == []


def test_spaces_and_line_breaks_of_a_name_are_seen(browser: Browser, tmp_path: Path) -> None:
    """Two tables whose names differ in them alone look different."""
    names = ("a b", "a  b", " a b", "a\nb")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "1_a.sql").write_text("".join(f'CREATE TABLE "{name}" (x);\n' for name in names))
    report = make_report(None, tmp_path / "migrations")
    (tmp_path / "page.html").write_text(as_html(report))
    browser.open(tmp_path / "page.html")

    shown = browser.evaluate("[...document.querySelectorAll('#schema li code')].map(each => each.innerText)")
    assert set(names) <= set(shown)


def test_a_script_would_not_run(pages: dict[str, Path], browser: Browser, tmp_path: Path) -> None:
    """Even if one came into the page, the policy in its head forbids it; so the page needs none."""
    bad = tmp_path / "bad.html"
    text = pages["library.html"].read_text().replace("<main", "<script>window.ran = 1</script><main", 1)
    bad.write_text(text)
    browser.open(bad)

    assert browser.evaluate("window.ran === undefined")
    assert any("Content Security Policy" in message for message in browser.messages)
    browser.messages.clear()


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_nothing_is_wider_than_the_window(page: Browser, width: int) -> None:
    """With everything opened too; the diagram and wide tables scroll on their own."""
    page.show(width=width)

    assert page.evaluate(BREADTH) <= width
    page.evaluate(OPEN_ALL)
    assert page.evaluate(BREADTH) <= width


def test_the_keyboard_reaches_everything(page: Browser) -> None:
    """Each link, each part that opens, each part that scrolls, in their order."""
    page.evaluate(OPEN_ALL)
    number = page.evaluate(f"{REACHABLE}.length")
    reached = []
    for _ in range(number):
        page.press_tab()
        reached.append(page.evaluate(FOCUSED))

    assert number > 20
    assert reached == list(range(number))


@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("ground", ["light", "dark"])
def test_axe_finds_nothing(page: Browser, axe: str, ground: str, width: int) -> None:
    """WCAG 2.2 AA, contrast included, and what is good practice."""
    page.show(width=width, ground=ground)
    page.evaluate(OPEN_ALL)
    page.evaluate(axe + ";0")
    found = page.evaluate("axe.run(document).then(result => JSON.stringify([result.violations, result.passes]))")
    violations, passes = json.loads(found)

    assert [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in violations] == []
    assert {"color-contrast", "document-title", "list"} <= {each["id"] for each in passes}


def test_light_and_dark_are_two_grounds(page: Browser) -> None:
    """As the reader has asked the browser for."""
    page.show(width=WIDE, ground="light")
    light = page.evaluate(GROUND)
    page.show(width=WIDE, ground="dark")

    assert light != page.evaluate(GROUND)


def test_on_paper_everything_is_open(page: Browser) -> None:
    """What is closed on the screen is printed, without the links to the sections."""
    seen = "[...document.querySelectorAll('.migrations pre')].every(each => each.checkVisibility())"
    closed = page.evaluate("document.querySelectorAll('details:not([open])').length")
    assert closed > 0
    page.print_on(paper=True)

    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.evaluate(seen)
    assert page.pdf().startswith(b"%PDF")
    page.print_on(paper=False)


def _without_breaks(text: str) -> str:
    r"""Leave out spaces and line breaks; Mermaid also breaks a line at a `\n` that is written out."""
    return "".join(text.replace(r"\n", "").split())


@pytest.mark.parametrize("name", ["library.md", "hostile.md"])
def test_mermaid_draws_the_diagram(pages: dict[str, Path], browser: Browser, mermaid: str, name: str) -> None:
    """With every name as it is, and no element of it."""
    (diagram,) = re.findall(r"```mermaid\n(.*?)\n```", pages[name].read_text(), re.DOTALL)
    browser.messages.clear()
    browser.open_empty()
    browser.evaluate(mermaid + ";mermaid.initialize({startOnLoad: false});0")
    browser.evaluate(
        f"mermaid.render('drawn', {json.dumps(diagram)}).then(done => {{document.body.innerHTML = done.svg}})"
    )

    text = _without_breaks(browser.evaluate("document.body.textContent"))
    wanted = HOSTILE if name == "hostile.md" else ("reservation", "~ full_name, was name", "- old_loan")
    assert [each for each in wanted if _without_breaks(escaped(each)) not in text] == []
    assert browser.evaluate("document.querySelectorAll('script, img, iframe, a').length") == 0
    assert browser.evaluate("document.querySelectorAll('.node').length") >= 5
    assert browser.messages == []
