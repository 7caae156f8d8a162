"""Every value in a report is escaped: names, SQL, file names and errors may have anything in them."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from reports.library import HOSTILE, hostile, library

from torc_migrations.formatting import escaped
from torc_migrations.reports import ChangeReport, as_html, as_markdown, make_report
from torc_migrations.reports.escaping import fenced, markdown_text, mermaid_text

# What a label of Mermaid may have in it: letters, digits, spaces, and characters by number.
LABEL = re.compile(r"(?:\w| |#\d+;)*")
NODE = re.compile(r't\d+\["(?P<label>.*)"\]:::(?:added|changed|dropped|unchanged)')
OTHER = re.compile(r"t\d+ --> t\d+|classDef [a-z]+ [a-z0-9#:, -]+|flowchart BT")


class Reader(HTMLParser):
    """Reads the elements of a page, with the names of their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self.links: list[str | None] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements[tag, tuple(name for name, _ in attrs)] += 1
        self.links += [value for name, value in attrs if name in ("href", "src", "action", "srcdoc", "data")]

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ChangeReport:
    """A report in which everything is hostile."""
    return make_report(*hostile(tmp_path_factory.mktemp("hostile")))


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> ChangeReport:
    """A report about ordinary names."""
    directory = tmp_path_factory.mktemp("library")
    return make_report(*library(directory), queries=directory / "queries.sql")


def test_the_hostile_names_are_in_it(report: ChangeReport) -> None:
    """Else the tests below would look at nothing."""
    assert {each.name for each in report.tables} >= set(HOSTILE)
    assert report.failure is not None
    assert "<ximg src=x" in report.failure
    assert any("<script>" in each.id for each in report.migrations)


def test_the_page_has_only_the_elements_of_its_template(report: ChangeReport, harmless: ChangeReport) -> None:
    """A name adds no element and no attribute, and every name is in the text as it is."""
    page, other = Reader(as_html(report)), Reader(as_html(harmless))

    known = {*other.elements, ("details", ()), ("p", ("class",)), ("b", ()), ("span", ("class",))}
    assert set(page.elements) <= known
    assert "script" not in {tag for tag, _ in page.elements}
    assert all(link is not None and link.startswith("#") for link in page.links)
    for name in HOSTILE:
        assert escaped(name, keep="\n") in page.text


def test_the_page_has_no_character_that_changes_the_order(report: ChangeReport) -> None:
    """Nor one that a terminal would obey; they are written out."""
    text = as_html(report) + as_markdown(report)

    assert escaped(text, keep="\n") == text
    assert "\\u202e" in text


def test_markdown_shows_every_name_and_has_no_tag_of_it(report: ChangeReport, harmless: ChangeReport) -> None:
    """As a renderer of CommonMark with tables reads it."""
    renderer = MarkdownIt("commonmark").enable("table")
    page = Reader(renderer.render(as_markdown(report)))
    other = Reader(renderer.render(as_markdown(harmless)))

    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in other.elements}
    assert page.links == []
    shown = page.text.replace("\u200b", "")
    for name in HOSTILE:
        assert " ".join(escaped(name).split()) in " ".join(shown.split())


def test_each_row_of_a_table_in_markdown_has_the_cells_of_its_head(report: ChangeReport) -> None:
    """A pipe or a line break in a name ends no cell; a renderer would leave out what is too many."""
    text = re.sub(r"^(`{3,}).*?^\1$", "", as_markdown(report), flags=re.DOTALL | re.MULTILINE)
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)

    assert len(tables) == 4
    assert sum(table.count("\n") for table in tables) > 20
    for table in tables:
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


def test_mermaid_has_only_nodes_edges_and_colours(report: ChangeReport) -> None:
    """A label has letters and numbered characters only; a name ends no label and starts no line."""
    (diagram,) = re.findall(r"```mermaid\n(.*?)\n```", as_markdown(report), re.DOTALL)

    for line in diagram.splitlines():
        node = NODE.fullmatch(line)
        if node is None:
            assert OTHER.fullmatch(line), line
        else:
            assert all(LABEL.fullmatch(part) for part in node["label"].split("<br/>")), line


def test_the_page_allows_its_own_style_and_nothing_else(harmless: ChangeReport) -> None:
    """By the hash of the style, in a policy that stands before it."""
    page = as_html(harmless)

    assert "default-src 'none'; style-src 'sha256-" in page
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert "style=" not in page
    assert "http" not in page.replace("http-equiv", "")


@settings(max_examples=400, deadline=None)
@given(st.text())
def test_any_text_is_one_line_of_markdown_that_reads_as_itself(text: str) -> None:
    """In a cell, in `<code>`, as in the template."""
    page = MarkdownIt("commonmark").enable("table").render(f"| a |\n| --- |\n| <code>{markdown_text(text)}</code> |\n")

    found = Reader(page)
    assert [tag for tag, _ in found.elements] == ["table", "thead", "tr", "th", "tbody", "td", "code"]
    shown = found.text.replace("\u200b", "").split()
    wanted = "a " + escaped(text).encode(errors="backslashreplace").decode().replace("\u200b", "")
    assert shown == wanted.replace("\0", "\ufffd").split()


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="`~a\n \r|<", max_size=30))
def test_any_text_stays_inside_of_its_fence(text: str) -> None:
    """However many backticks it has."""
    tokens = MarkdownIt("commonmark").parse(f"{fenced(text, 'sql')}\n\nafter\n")

    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    assert tokens[0].content.rstrip() == escaped(text, keep="\n").rstrip()


@given(st.text())
def test_any_text_is_a_label_of_letters_and_numbers(text: str) -> None:
    """In the syntax of Mermaid."""
    assert LABEL.fullmatch(str(mermaid_text(text)))


def test_a_file_name_that_is_not_utf8_can_be_written(tmp_path: Path) -> None:
    """It is written out, as Python would."""
    source = tmp_path / "migrations"
    source.mkdir()
    (source / "1_a\udcff.sql").write_text("CREATE TABLE a (x);")

    report = make_report(source=source)

    assert "1_a\\udcff.sql" in as_html(report).encode().decode()
    assert as_markdown(report).encode()
