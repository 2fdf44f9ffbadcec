"""Settings of Sphinx: `make site` builds the documentation into site/, from files alone."""

import repbias

project = "repbias"
author = "The repbias developers"
version = release = repbias.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["images"]
myst_heading_anchors = 4
autodoc_typehints = "none"  # signatures have them
html_theme = "furo"
html_title = "repbias"
html_show_copyright = False
napoleon_use_ivar = True  # attributes are said as parameters are
