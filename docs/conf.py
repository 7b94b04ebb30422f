"""How the documentation is built."""

from __future__ import annotations

from nightmail import __version__

project = "nightmail"
author = "The nightmail authors"
copyright = "The nightmail authors"
release = __version__

extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"nightmail {release}"
