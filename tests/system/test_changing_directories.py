"""Migrations that are deleted, replaced or emptied while a verb reads them: an error of ours, or what was read runs."""

from __future__ import annotations

import json
import os
from itertools import product
from pathlib import Path

import pytest
from database_under_test import IMPORT_EVERYTHING, ladder, python, write_folder

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="it forks"), pytest.mark.slow]

# Runs a verb again and again, each time in a process of its own, and changes the directory before it opens or lists
# something there for the first, second, third ... time. Prints what each of them has ended with.
AT_EACH_MOMENT = (
    IMPORT_EVERYTHING
    + """
from torc_migrations.__main__ import main
home, change, *words = sys.argv[1:]
events = ("open", "os.scandir", "os.listdir", "os.rename", "os.remove")
seen, at = 0, None

def act():
    os.rename("m", "old")
    if change == "replaced":
        os.rename("other", "m")
    elif change == "a file":
        open("m", "w").close()
    elif change == "emptied":
        shutil.copytree("old", "m")
        for name in os.listdir("m"):
            open(os.path.join("m", name), "w").close()

def hook(event, arguments):
    global seen, at
    if at is None or event not in events or not isinstance(arguments[0], str) or arguments[0][:2] not in ("m", "m/"):
        return
    seen += 1
    if seen == at:
        at = None
        act()

def run():
    global at
    shutil.rmtree("w", ignore_errors=True)
    shutil.copytree("kept", "w")
    os.chdir("w")
    sys.argv = ["torc-migrations", "-s", "m", "-d", "app.db", *words]
    sys.stdout = sys.stderr = open("said", "w")
    at = moment
    try:
        status = main()
    except SystemExit as end:
        status = end.code
    except BaseException as error:
        status = repr(error)
    os.write(into, json.dumps([status, at is None]).encode())
    os._exit(0)

sys.addaudithook(hook)
os.chdir(home)
found, moment, changed = [], 0, True
while changed:
    moment += 1
    out, into = os.pipe()
    if os.fork() == 0:
        run()
    os.close(into)
    os.wait()
    status, changed = json.loads(os.read(out, 10_000))
    os.close(out)
    found.append(status)
print(json.dumps(found))
"""
)
VERBS = ("upgrade", "rehearse --round-trip", "rollback", "doctor", "renumber 2", "check lock --write", "check")
CHANGES = ("gone", "replaced", "a file", "emptied")


@pytest.mark.parametrize(("verb", "change"), [*product(VERBS, CHANGES), ("report --markdown report.md", "replaced")])
def test_directory_that_changes_at_any_moment_is_no_traceback(tmp_path: Path, verb: str, change: str):
    """Every moment at which the verb opens or lists something ends with a status of the command."""
    kept = tmp_path / "kept"
    write_folder(kept / "m", {**ladder(2), "3_more": "-- depends: 2_make_t2\nCREATE TABLE t3 (x);", "post-apply": ""})
    write_folder(kept / "other", {"1_make_t1": "CREATE TABLE other (x);"})

    found = json.loads(python(AT_EACH_MOMENT, tmp_path, change, *verb.split()))

    assert len(found) > 3
    assert [status for status in found if status not in range(7)] == []
