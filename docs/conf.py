"""Settings of Sphinx: `make site` builds the documentation into site/, from files alone.

Pages that begin with `file_format: mystnb` are notebooks: their cells run whenever the site is
built, so their outputs are never stale; a cell that fails stops the build.
"""

import repbias

project = "repbias"
author = "The repbias developers"
version = release = repbias.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["images"]
myst_heading_anchors = 4
autodoc_typehints = "none"  # signatures have them
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 120  # seconds a cell, on a machine that does other things too
html_theme = "furo"
html_title = "repbias"
html_show_copyright = False
napoleon_use_ivar = True  # attributes are said as parameters are
