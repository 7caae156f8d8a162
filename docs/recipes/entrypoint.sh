#!/bin/sh
# The entry point of a container: upgrade, then become the program, so that it gets the signals of the container.
set -eu
torc-migrations -s migrations upgrade
exec "$@"
