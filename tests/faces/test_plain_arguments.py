"""The plainest command lines are read without argparse, and to the same effect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torc_migrations.arguments import BadArguments, parse
from torc_migrations.plain_arguments import parse_plain

VERBS = ("status", "info", "upgrade", "run")
OTHER_WORDS = (
    *(
        "rollback",
        "new",
        "apply",
        "",
        "7",
        "a b",
        "-",
        "--",
        "-x",
        "-vv",
        "--target",
        "--strict",
        "--help",
        "--version",
    ),
    *("--database=a.db", "-da.db", "--dry-run", "--exit-code", "--lock-timeout", "--jso", "a.db", "sqlite:///a.db"),
)
OPTIONS = ("-d", "-D", "--database", "--database-url", "-s", "--source", "--no-dotenv", "--json", "-v", "--verbose")


@given(st.lists(st.sampled_from(VERBS + OTHER_WORDS + OPTIONS) | st.text(max_size=3), max_size=8))
def test_both_readers_agree(words):
    """What the short reader understands, argparse understands in the same way."""
    read = parse_plain(words)

    assert read is None or read == parse(words)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "template",
    [
        "{}",
        "-d a.db {}",
        "-d a.db -s migrations {}",
        "{} --database sqlite:///a.db --source migrations --json -v --no-dotenv",
        "-D a.db -s b {} --database-url c.db -s d",
    ],
)
def test_the_common_lines_are_plain(verb, template):
    """The lines that scripts and people write most are read by the short reader."""
    words = template.format(verb).split()

    assert parse_plain(words) == parse(words)


@pytest.mark.parametrize("line", ["upgrade -d", "-s upgrade", "status -d -s x"])
def test_a_missing_value_is_left_to_argparse(line):
    """Where a value is missing, there is an error to tell, which the short reader does not do."""
    assert parse_plain(line.split()) is None

    with pytest.raises(BadArguments):
        parse(line.split())
