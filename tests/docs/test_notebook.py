"""The page on notebooks."""

from pages import blocks


def test_the_code_for_notebooks_runs_and_says_what_the_page_says():
    exec("".join(blocks("notebook.md", "python")), {})
