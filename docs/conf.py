"""The documentation site: `python -m sphinx -W --keep-going -b html docs site/html` builds it, without a network."""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import ai_library

project = "ai_library"
author = "the authors of ai_library"
version = release = ai_library.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["README.md"]
smartquotes = False  # "train" is code
nb_execution_mode = "off"  # the notebook keeps its outputs, and a test runs it
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

default_role = "py:obj"  # `CNN` in a docstring is a link where that is documented, and code where it is not
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "ai_library"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_copyright = False
html_copy_source = False
# Fonts and scripts belong to the site: it loads nothing from other hosts.
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

# Files of the repository that are also pages: each is appended to the text of its page.
PAGES = {
    "benchmarks": ("benchmarks/README.md",),
    "changelog": ("CHANGELOG.md", "ai_library/CHANGELOG.md"),
    "development": ("CONTRIBUTING.md",),
    "guides/library": ("ai_library/README.md",),
    "notes": ("benchmarks/notes.md",),
}
PAGE_OF = {ROOT / name: f"{page}.md" for page, names in PAGES.items() for name in names}
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(#[^)]*)?\)")


def relinked(text, folder, page):
    """Rewrites the relative links of a text from `folder`, so that they work from a page of the site."""

    def rewritten(match):
        target = (folder / match[1]).resolve()
        target = ROOT / "docs" / PAGE_OF.get(target, target)
        return f"]({os.path.relpath(target, page.parent)}{match[2] or ''})"

    return LINK.sub(rewritten, text)


# Pages lie in this folder, the notebook does not.
TOUR = ROOT / "docs/tutorials/tour.ipynb"
TOUR.write_text(relinked((ROOT / "main.ipynb").read_text(encoding="utf-8"), ROOT, TOUR), encoding="utf-8")


def add_files(app, docname, source):
    page = ROOT / f"docs/{docname}.md"
    if page.is_file():  # the notebook is not: its links are rewritten above
        source[0] = relinked(source[0], page.parent, page)
    for name in PAGES.get(docname, ()):
        app.env.note_dependency(str(ROOT / name))
        text = relinked((ROOT / name).read_text(encoding="utf-8"), (ROOT / name).parent, page)
        source[0] += "\n" + re.sub(r"^(#+ )", r"#\1", text, flags=re.M)  # a page has one title, its own


def without_linens_own(app, what, name, obj, options, signature, annotation):
    """Leaves out `parent` and `name`, which every linen module has and which users do not set."""
    return re.sub(r", parent: .*", ")", signature or "") or None, annotation


def with_levels(app, pagename, templatename, context, doctree):
    """Gives the captions of the navigation a heading level, which screen readers need."""
    tree = context["furo_navigation_tree"]
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app):
    app.connect("autodoc-process-signature", without_linens_own)
    app.connect("source-read", add_files)
    app.connect("html-page-context", with_levels, priority=900)  # after the theme
    return {"parallel_read_safe": True, "parallel_write_safe": True}
