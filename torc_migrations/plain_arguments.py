"""Read the plainest command lines without argparse, which takes longer than an upgrade with nothing to do."""

from __future__ import annotations

from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# What every verb is told where the command line says nothing.
DEFAULTS: dict[str, object] = {
    "database": None,
    "source": None,
    "no_dotenv": False,
    "json": False,
    "verbose": False,
    "lock_timeout": 300.0,
    "ignore_missing": False,
    "strict": False,
    "snapshot": False,
    "keep": 3,
    "on_loss": None,
}
# The verbs that are read here, by both their names, and what they alone are told.
_VERBS = {"status": "status", "info": "status", "upgrade": "upgrade", "run": "upgrade"}
_OWN_DEFAULTS: dict[str, dict[str, object]] = {
    "status": {"exit_code": False},
    "upgrade": {"target": None, "dry_run": False, "single_transaction": False, "rehearse": False},
}
_OPTIONS = {
    "-d": "database",
    "-D": "database",
    "--database": "database",
    "--database-url": "database",
    "-s": "source",
    "--source": "source",
}
_FLAGS = {"--no-dotenv": "no_dotenv", "--json": "json", "-v": "verbose", "--verbose": "verbose"}


def parse_plain(arguments: Sequence[str]) -> SimpleNamespace | None:
    """Read a command line as `arguments.parse` would, if it is a plain one; of all others know nothing.

    A plain one has the verb `status` or `upgrade`, by either name, and of the options only those that all verbs have,
    each a word of its own, with its value as the next.
    """
    given: dict[str, object] = {}
    words = iter(arguments)
    for word in words:
        if word in _FLAGS:
            given[_FLAGS[word]] = True
        elif word in _OPTIONS:
            value = next(words, "-")
            if value.startswith("-"):
                return None
            given[_OPTIONS[word]] = value
        elif word in _VERBS and "verb" not in given:
            given["verb"] = _VERBS[word]
        else:
            return None
    own = _OWN_DEFAULTS.get(str(given.get("verb")))
    return None if own is None else SimpleNamespace(**{**DEFAULTS, **own, **given})
