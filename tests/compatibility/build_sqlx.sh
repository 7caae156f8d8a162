#!/bin/sh
# Build the real sqlx, the judge of the tests beside this file: build_sqlx.sh [VERSION ...], by default 0.8 and 0.9.
# Each goes to .cache/sqlx/VERSION/bin/sqlx ($TORC_SQLX_CACHE names another folder than .cache/sqlx); what is there
# already is left alone. With SERVERS=1 it can also connect to PostgreSQL and MySQL, and goes to
# .cache/sqlx/servers/VERSION/bin/sqlx: these features take twice as long to build.
set -eu

cache=${TORC_SQLX_CACHE:-$(cd "$(dirname "$0")/../.." && pwd)/.cache/sqlx}
[ "$#" -gt 0 ] || set -- 0.8 0.9

for version; do
    folder=$cache/${SERVERS:+servers/}$version
    if [ -x "$folder/bin/sqlx" ]; then
        echo "$folder/bin/sqlx is there: $("$folder/bin/sqlx" --version)"
        continue
    fi
    if ! command -v cargo >/dev/null; then
        echo "cannot build sqlx $version: there is no cargo on the PATH (https://rustup.rs installs it)." >&2
        echo "The tests that need it are skipped, and those against its recorded outputs are run." >&2
        exit 1
    fi
    features=sqlite,rustls
    [ -z "${SERVERS:-}" ] || features=$features,postgres,mysql
    [ "$version" = 0.8 ] || features=$features,sqlx-toml # sqlx.toml came with 0.9, and has to be asked for
    # Built in the cache too, and removed afterwards: the program is 20 MB, what it is built from 1 GB.
    cargo install sqlx-cli --version "^$version" --locked --no-default-features --features "$features" \
        --bin sqlx --root "$folder" --target-dir "$folder/target"
    rm -rf "$folder/target"
done
