#!/bin/sh
# Show the main task on torc.db in a clone: upgrade, list, look at two query plans, roll back, upgrade again.
# `make demo` calls it; the argument is the directory of the installed commands.
set -eu
commands=$1
database=torc.db

show() {
    printf '\n$ torc-migrations %s\n' "$*"
    "$commands/torc-migrations" "$@"
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

show -d "$database" --torc upgrade
show -d "$database" --torc status
plan "SELECT * FROM job WHERE workflow_id = 1"
plan "SELECT * FROM job WHERE workflow_id = 1 AND status = 1"
show -d "$database" --torc rollback
show -d "$database" --torc status
show -d "$database" --torc upgrade
show -d "$database" --torc status
