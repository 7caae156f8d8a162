"""Migrations of yoyo in Python are read without being run: what is literal becomes SQL, the rest is named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yoyo.migrations import Migration as StockMigration
from yoyo.migrations import MigrationStep, StepGroup

from torc_migrations import Migrator, convert, errors
from torc_migrations.sources.converting.yoyo.steps import read_python

A = 'step("CREATE TABLE a (x)", "DROP TABLE a")'
UP_A, DOWN_A = "CREATE TABLE a (x);\n", "DROP TABLE a;\n"

# A module, and the up and the down script that it becomes.
LITERAL = {
    A: (UP_A, DOWN_A),
    f"from yoyo import step\n\n{A}\n": (UP_A, DOWN_A),
    f"steps = [{A}, step('CREATE TABLE b (x)', 'DROP TABLE b')]": (
        UP_A + "CREATE TABLE b (x);\n",
        "DROP TABLE b;\n" + DOWN_A,
    ),
    "import yoyo as y\ny.step(rollback='DROP TABLE a', apply='CREATE TABLE a (x)')": (UP_A, DOWN_A),
    "from yoyo import step as s\ns('CREATE TABLE a (x)')": (UP_A, None),
    "from yoyo import *\nstep('CREATE TABLE a (x)', None)": (UP_A, None),
    "step('CREATE ' 'TABLE a '\n     '(x)')": (UP_A, None),
    "step('CREATE ' + 'TABLE a (x)')": (UP_A, None),
    "T = 'a'\nT: str = T\nstep(f'CREATE TABLE {T} (x)', 'DROP TABLE ' + T)": (UP_A, DOWN_A),
    "S = 'CREATE TABLE b (x)'\nS = 'CREATE TABLE a (x)'\nstep(S)": (UP_A, None),
    "from textwrap import dedent\nstep(dedent('''\n    CREATE TABLE a (\n      x\n    )'''))": (
        "CREATE TABLE a (\n  x\n);\n",
        None,
    ),
    "import textwrap\nstep(textwrap.dedent('  CREATE TABLE a (x)').strip())": (UP_A, None),
    "step('CREATE TABLE a (x) -- why', 'DROP TABLE a /* why */')": (
        "CREATE TABLE a (x) -- why\n;\n",
        "DROP TABLE a /* why */\n;\n",
    ),
    "step('CREATE TABLE a (x); -- why;')": ("CREATE TABLE a (x); -- why;\n", None),
    "step(\"INSERT INTO a VALUES ('it''s -- no; comment')\")": (
        "INSERT INTO a VALUES ('it''s -- no; comment');\n",
        None,
    ),
    "step('')\nstep('-- nothing')": ("-- nothing\n", None),
    f"'''Create a.\n\n    Because.\n    '''\n{A}": (f"-- Create a.\n--\n-- Because.\n{UP_A}", DOWN_A),
    f"'''Create\\0 a.'''\n{A}": (f"-- Create a.\n{UP_A}", DOWN_A),
    f"'''depends: nothing'''\n{A}": (UP_A, DOWN_A),
    f"# -*- coding: latin-1 -*-\n# \xe9\n{A}": (UP_A, DOWN_A),
    f"import os, json\nfrom datetime import datetime\n{A}": (UP_A, DOWN_A),
    f"def unused(connection, x=1, *, y=None):\n    return open('x')\n{A}": (UP_A, DOWN_A),
    f"__depends__ = {{}}\n__author__ = ['me', -1, (2,), {{'a': 3}}]\npass\nx: int\n{A}": (UP_A, DOWN_A),
    f"__depends__ = {{'0002.z', '0001.a'}}\n{A}": (f"-- depends: 0001.a 0002.z\n{UP_A}", DOWN_A),
    f"__depends__ = '0001.a'\n{A}": (f"-- depends: 0001.a\n{UP_A}", DOWN_A),
    f"__depends__ = set()\n{A}": (UP_A, DOWN_A),
    f"__transactional__ = False\n{A}": (
        f"-- no-transaction\n-- transactional: false\n{UP_A}",
        f"-- no-transaction\n-- transactional: false\n{DOWN_A}",
    ),
    "step('INSERT INTO a VALUES (1)', None, None)\nstep('SELECT 1', ignore_errors=None)": (
        "INSERT INTO a VALUES (1);\nSELECT 1;\n",
        None,
    ),
}
# yoyo removes the members of a group from its list, and adds the group to the end.
GROUPS = {
    "group(step('SELECT 1', 'SELECT -1'), step('SELECT 2', 'SELECT -2'))\nstep('SELECT 3', 'SELECT -3')": (1, 2, 3),
    "g = [step('SELECT 1', 'SELECT -1'), step('SELECT 2', 'SELECT -2')]\nstep('SELECT 3', 'SELECT -3')\ngroup(g)": (
        3,
        1,
        2,
    ),
    "one = step('SELECT 1', 'SELECT -1')\ntransaction(steps=[step('SELECT 2', 'SELECT -2'), one])": (2, 1),
    "group(group(step('SELECT 1', 'SELECT -1')), [step('SELECT 2', 'SELECT -2')])": (1, 2),
}
# A module, and the line and the reason of each thing in it that cannot be converted.
REFUSED = {
    "step(lambda c: None)": [(1, "a function (lambda) is Python")],
    "def up(c):\n    pass\n\nstep(up, 'SELECT 1')": [(4, "the function 'up' as apply")],
    "def down(c):\n    pass\nstep('SELECT 1', down)": [(3, "the function 'down' as rollback")],
    "import x": [(1, "the import of 'x' runs code")],
    "from . import x": [(1, "the import of '.' runs code")],
    "from os import *": [(1, "gives names that are not in the file")],
    "@decorated\ndef up(c):\n    pass": [(1, "a decorator runs code")],
    "def up(c=print()):\n    pass": [(1, "has a default value that runs code")],
    "class Up:\n    pass": [(1, "`class Up:` is decided when Python runs")],
    "if True:\n    step('SELECT 1')": [(1, "`if True:` is decided")],
    "for t in 'ab':\n    step(t)": [(1, "`for t in 'ab':` is decided")],
    "with open('x') as f:\n    step(f.read())": [(1, "`with open('x') as f:` is decided")],
    "try:\n    step('SELECT 1')\nexcept Exception:\n    pass": [(1, "`try:` is decided")],
    "steps = [step(s) for s in ('SELECT 1',)]": [(1, "only known when Python runs")],
    "step(open('a.sql').read())": [(1, "`open('a.sql').read()` is only known when")],
    "step('SELECT {}'.format(1))": [(1, "only known when")],
    "step('SELECT %s' % 1)": [(1, "only known when")],
    "x = 1\nstep(f'SELECT {x}')": [(2, "only known when")],
    "T = 'a'\nstep(f'SELECT {T!r}')": [(2, "only known when")],
    "step(f'SELECT {unknown}')": [(1, "the name 'unknown' has no value")],
    "step(*['SELECT 1'])": [(1, "only known when")],
    "step(**{'apply': 'SELECT 1'})": [(1, "only known when")],
    "step()": [(1, "no SQL to apply")],
    "step('a', 'b', None, 'c')": [(1, "only known when")],
    "step(1)": [(1, "`1` as apply, which is no text")],
    "step(b'SELECT 1')": [(1, "which is no text")],
    "step('SELECT 1', ignore_errors='apply')": [(1, "ignore_errors='apply' cannot be said in SQL")],
    "group(step('SELECT 1'), ignore_errors='all')": [(1, "ignore_errors='all' cannot be said")],
    "group('SELECT 1')": [(1, "is no step")],
    "s = step('SELECT 1')\ngroup(s, s)": [(2, "a step twice")],
    "a, b = 'SELECT 1', 'SELECT 2'": [(1, "an assignment to `(a, b)`")],
    "steps = []\nsteps += [step('SELECT 1')]": [(2, "`steps += [step('SELECT 1')]` is decided")],
    "print('hello')": [(1, "only known when")],
    "__depends__ = ids()": [(1, "only known when")],
    "__depends__ = {'a b'}\nstep('SELECT 1')": [(None, "has a blank in it")],
    "__depends__ = 3\nstep('SELECT 1')": [(None, "no collection of ids")],
    "__transactional__ = 'no'\nstep('SELECT 1')": [(None, "neither True nor False")],
    "step('SELECT \"a')": [(1, "ends inside of quotes")],
    "step('SELECT 1 /* why')": [(1, "ends inside of quotes or a block comment")],
    "step('SELECT \\0')": [(1, "NUL")],
    "step('SELECT \\ud800')": [(1, "UTF-8 does not have")],
    "step('SELECT 1'": [(1, "Python cannot read it")],
    "step('\0')": [(None, "Python cannot read it")],
    f"step({'+'.join(['chr(1)'] * 3)})\nstep(f(2))\nsteps = [step(g(3)), step('SELECT 1'),\n step(h(4))]": [
        (1, "only known when"),
        (2, "only known when"),
        (3, "only known when"),
        (4, "only known when"),
    ],
}


def _read(module: str) -> tuple[str, str | None]:
    scripts, problems = read_python(module.encode("latin-1" if "latin-1" in module else "utf-8"))
    assert problems == []
    assert scripts is not None
    return scripts.up.decode(), None if scripts.down is None else scripts.down.decode()


def _files(directory: Path, module: str) -> tuple[str, str | None]:
    """Convert one module as a directory, and return the texts of its files, without what it depends on."""
    encoding = "latin-1" if "latin-1" in module else "utf-8"
    (directory / "old").mkdir()
    (directory / "old" / "0003.c.py").write_bytes(module.encode(encoding))
    for name in ("0001.a", "0002.z"):
        (directory / "old" / f"{name}.sql").write_text("SELECT 1;\n")
    made = convert(directory / "old", directory / "new").migrations[-1]
    assert made.up_path == str(directory / "new" / "0003.c.sql")
    assert Path(made.up_path).read_bytes() == made.up
    return made.up.decode(), None if made.down is None else made.down.decode()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("module", LITERAL)
def test_literal_steps_become_sql(module, newline, tmp_path):
    """Each statement ends with a semicolon, the down script has the opposite order, and directives are in both."""
    assert _files(tmp_path, module.replace("\n", newline)) == LITERAL[module]


@pytest.mark.parametrize("module", GROUPS)
def test_groups_keep_the_order_of_yoyo(module):
    """Steps run in the order in which yoyo runs them, and are rolled back in the opposite one."""
    up, down = _read(module)

    assert up == "".join(f"SELECT {number};\n" for number in GROUPS[module])
    assert down == "".join(f"SELECT -{number};\n" for number in reversed(GROUPS[module]))


def test_a_byte_order_mark_is_no_part_of_the_module():
    """Python reads the file with it, and so does the conversion."""
    assert _read("\N{ZERO WIDTH NO-BREAK SPACE}" + A) == (UP_A, DOWN_A)


@pytest.mark.parametrize("module", REFUSED)
def test_what_is_not_literal_is_named(module):
    """Every place is named with its line and a reason, not only the first one."""
    scripts, problems = read_python(module.encode("utf-8", "surrogatepass"))

    assert scripts is None
    assert [problem.line for problem in problems] == [line for line, _ in REFUSED[module]]
    for problem, (_, reason) in zip(problems, REFUSED[module], strict=True):
        assert reason in problem.reason


def test_an_expression_that_is_too_deep_is_named():
    """Neither Python's parser nor ours ends the process."""
    for module in ("step(" + "+".join(["'SELECT 1'"] * 5000) + ")", "step(" + "(" * 5000 + ")" * 5000 + ")"):
        scripts, problems = read_python(module.encode())

        assert scripts is None or scripts.up.startswith(b"SELECT 1SELECT 1")
        assert bool(problems) is (scripts is None)


def test_nothing_of_a_module_runs(tmp_path):
    """A conversion has no effect but its files, whatever is in the module."""
    trace = tmp_path / "trace"
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "1_a.py").write_text(f"open({str(trace)!r}, 'w').close()\n{A}\n")

    with pytest.raises(errors.NotConvertible):
        convert(tmp_path / "old", tmp_path / "new")

    assert not trace.exists()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("comment", ["-- depends: 7", "-- transactional: false", "-- no-transaction", "-- +goose Up"])
def test_a_comment_that_would_become_a_directive_is_named(comment, tmp_path):
    """A comment in a step means nothing to yoyo; at the head of a file it would."""
    (tmp_path / "1_a.py").write_text(f"step('''{comment}\nCREATE TABLE a (x)''')\n")

    with pytest.raises(errors.NotConvertible, match="cannot be converted") as failure:
        convert(tmp_path)

    (problem,) = failure.value.problems
    assert "a comment" in problem.reason


def test_a_step_without_a_rollback_among_others_is_noted(tmp_path):
    """What yoyo would leave in the database is left there too, and a note says which step."""
    (tmp_path / "1_a.py").write_text(f"step('CREATE TABLE b (x)')\n{A}\n")

    conversion = convert(tmp_path)

    assert conversion.migrations[0].down == DOWN_A.encode()
    assert "the step in line 1 has no rollback" in conversion.notes[0]


def _names(prefix: str) -> st.SearchStrategy[str]:
    return st.integers(0, 99).map(lambda number: f"{prefix}{number}")


_QUOTES = st.sampled_from(["'", '"', "'''", '"""'])
_TAILS = st.sampled_from(["", ";", " -- done", "; -- done;", " /* ; */", "\n", ";\n\n"])


@st.composite
def _modules(draw: st.DrawFn) -> str:
    """A module with tables in steps, lists and groups, written in various ways."""
    lines = ["from yoyo import step, group"]
    names = draw(st.lists(_names("t"), min_size=1, max_size=6, unique=True))
    for number, name in enumerate(names):
        tail = draw(_TAILS)
        up = f"CREATE TABLE {name} (x DEFAULT 'a;b--c'){tail}"
        if draw(st.booleans()):
            lines.append(f"UP{number} = {up!r}")
            written = f"UP{number}"
        else:
            written = f"{up[:7]!r} {up[7:]!r}"
        call = f"step({written}, {f'DROP TABLE {name}' + tail!r})"
        kind = draw(st.sampled_from(["{}", "steps = [{}]", "group({})", "group([{}])", f"s{number} = {{}}"]))
        lines.append(kind.format(call))
    return "\n".join(lines) + "\n"


def _stock_steps(path: Path) -> list[MigrationStep]:
    migration = StockMigration(path.stem, str(path), str(path.parent))
    migration.load()
    found: list[MigrationStep] = []

    def collect(step: object) -> None:
        inner = getattr(step, "step", step)
        if isinstance(inner, StepGroup):
            for each in inner.steps:
                collect(each)
        else:
            found.append(inner)

    for step in migration.steps:
        collect(step)
    return found


@settings(deadline=None, max_examples=40)
@given(module=_modules())
def test_a_converted_module_does_what_yoyo_makes_of_it(module, tmp_path_factory):
    """The schema is that of the steps that stock yoyo collects, and nothing is left of it after a rollback."""
    here = tmp_path_factory.mktemp("module")
    (here / "old").mkdir()
    (here / "old" / "1_a.py").write_text(module)
    convert(here / "old", here / "new")
    with closing(sqlite3.connect(":memory:")) as stock:
        for step in _stock_steps(here / "old" / "1_a.py"):
            stock.execute(step._apply)
        wanted = stock.execute("SELECT name FROM sqlite_master ORDER BY rowid").fetchall()

    migrator = Migrator(here / "x.db", here / "new")
    migrator.upgrade()

    with closing(sqlite3.connect(here / "x.db")) as made:
        tables = "SELECT name FROM sqlite_master WHERE name LIKE 't%' ORDER BY rowid"
        assert made.execute(tables).fetchall() == wanted
        migrator.rollback()
        assert made.execute(tables).fetchall() == []
