"""Run the command by `python -m torc_migrations`."""

import sys

from torc_migrations.cli.command import main

if __name__ == "__main__":
    sys.exit(main())
