#!/bin/sh
# The main job, shown on torc.db in a clone: upgrade, list, look at the query plans, roll back, upgrade again.
# Called by `make demo`; the argument is the folder of the commands.
set -eu
commands=$1
database=torc.db

show() {
    printf '\n$ %s\n' "$*"
    command=$1
    shift
    "$commands/$command" "$@"
}

plan() {
    printf '\nEXPLAIN QUERY PLAN %s\n' "$1"
    "$commands/python" - "$database" "$1" <<'PYTHON'
import sqlite3
import sys

connection = sqlite3.connect(sys.argv[1])
for *_, line in connection.execute(f"EXPLAIN QUERY PLAN {sys.argv[2]}"):
    print(f"`--{line}")
connection.close()
PYTHON
}

show torc-migrations upgrade
show torc-migrations status
plan "SELECT * FROM job WHERE workflow_id = 1"
plan "SELECT * FROM job WHERE workflow_id = 1 AND status = 1"
show torc-migrations rollback
show torc-migrations status
show torc-migrations upgrade
show torc-migrations status
