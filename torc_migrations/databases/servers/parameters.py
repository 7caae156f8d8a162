"""Write the parameters of a statement as the drivers of servers want them."""

from __future__ import annotations

import re
from functools import lru_cache

# What may have a colon that begins no parameter: a text or a name in quotes, and a cast.
_PARTS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|::|:([A-Za-z_]\w*)|%""")


@lru_cache(maxsize=500)
def to_pyformat(sql: str) -> str:
    """Return a statement with `%(name)s` for each `:name`, and `%%` for each `%`.

    https://peps.python.org/pep-0249/#paramstyle
    """
    return _PARTS.sub(_replacement, sql)


def _replacement(found: re.Match[str]) -> str:
    return f"%({found[1]})s" if found[1] else found[0].replace("%", "%%")
