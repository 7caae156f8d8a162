"""How many random examples are tried: the same few every time, or as many new ones as TORC_AGREE_EXAMPLES says."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_WANTED = os.environ.get("TORC_AGREE_EXAMPLES")


def examples(few: int) -> settings:
    """Return settings for `few` examples, unless the environment wants more."""
    return settings(
        max_examples=int(_WANTED or few),
        derandomize=not _WANTED,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
