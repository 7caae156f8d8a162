"""Build the documentation site: Sphinx, the theme furo, and Markdown as MyST reads it."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "torc_migrations"
author = "the authors of torc_migrations"
version = release = version_of("torc-migrations")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "command_line"]
exclude_patterns = ["extensions"]
suppress_warnings = ["myst.header"]  # a page begins with one title, and a generated section may skip a level

html_theme = "furo"
html_title = f"torc_migrations {release}"
html_static_path = ["static"]
html_css_files = ["charts.css"]
html_copy_source = False
html_show_sphinx = False

# Names of headings become anchors, so that a link such as `files.md#directives` works on the site and on disk.
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

# Docstrings are written with single backticks for code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Every reference has to lead somewhere, but for those to types in signatures and docstrings: not all are on a page.
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]
