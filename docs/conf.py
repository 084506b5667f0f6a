"""Sphinx configuration. Nothing here, and nothing in the pages, needs a network while the site is built."""

import pathlib
import sys

_ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT), str(pathlib.Path(__file__).resolve().parent / '_extensions')]

from trainer import tensorflow_setup  # noqa: E402 (found by the line above)

tensorflow_setup.load_tensorflow()  # without its messages about GPUs

project = 'seg-pipeline'
author = 'the seg-pipeline authors'
project_copyright = author

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'command_reference',
    'plain_docstrings',
    'python_reference',
]
exclude_patterns = ['_build']

smartquotes_action = 'D'  # a dash behind the name of a parameter; quotation marks stay as they are written

# Pages are Markdown. Headings get GitHub's anchors, so that a link works there and here.
myst_enable_extensions = ['colon_fence']
myst_heading_anchors = 4

python_reference_packages = ['seg_pipeline', 'beam_jobs', 'trainer']
add_module_names = False
autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_default_options = {'members': True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # else each attribute is described twice: by its class and by itself

html_theme = 'furo'
html_title = project
html_static_path = ['_static']
html_css_files = ['site.css']
html_copy_source = False
html_show_sphinx = False
pygments_style = 'friendly'
pygments_dark_style = 'monokai'
