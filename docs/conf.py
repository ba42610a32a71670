"""The manual: docs/ and the pages beside it, built by ``make docs`` into build/manual.

The source folder is the top of the checkout, so that links between pages are the same here and in a repository browser.
"""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

import spikesim

project = "spikesim"
author = "The spikesim developers"
copyright = "the spikesim developers, MIT licence"
release = version = spikesim.__version__

root_doc = "docs/index"
include_patterns = ["docs/**", "README.md", "CHANGELOG.md", "benchmarks/README.md"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
nitpicky = True

myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath", "deflist"]
myst_dmath_allow_labels = False
myst_fence_as_directive = ["math"]
html_math_renderer = "mathml"  # which browsers show by themselves: no script or font is needed

autodoc_typehints = "none"  # the docstrings have shapes and units besides
autodoc_member_order = "bysource"
default_role = "literal"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "furo"
html_title = f"spikesim {release}"
html_extra_path = ["_site"]
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}

UNIT = re.compile(r"(?<=\d) (?=(?:%|[kMG]|[kMG]B|[munpµ]J|[muµ]?s|min|h|points?)(?![\w-]))")


def keep_units(app: Sphinx, doctree: nodes.document) -> None:
    """A number and its unit stay on one line."""
    for text in list(doctree.findall(nodes.Text)):
        if not isinstance(text.parent, nodes.literal | nodes.literal_block | nodes.math | nodes.math_block):
            text.parent.replace(text, nodes.Text(UNIT.sub("\N{NO-BREAK SPACE}", text.astext())))


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def display(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    app.connect("doctree-read", keep_units)
    return {"parallel_read_safe": True}
