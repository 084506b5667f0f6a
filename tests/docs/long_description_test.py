"""README as a package index shows it: without the files beside it."""

import email
import pathlib
import subprocess
import sys
import urllib.parse

import pytest
from markdown_it import MarkdownIt

_ROOT = pathlib.Path(__file__).parents[2]


def _links(text):
    for token in MarkdownIt('commonmark').enable('table').parse(text):
        for child in token.children or ():
            if child.type in ('link_open', 'image'):
                yield child.type, child.attrs.get('href') or child.attrs.get('src')


@pytest.fixture(scope='module')
def metadata(tmp_path_factory):
    """What setup.py says of the distribution."""
    base = tmp_path_factory.mktemp('metadata')
    command = [sys.executable, 'setup.py', '--quiet', 'egg_info', '--egg-base', str(base)]
    subprocess.run(command, cwd=_ROOT, check=True, capture_output=True)
    (path,) = base.glob('*.egg-info/PKG-INFO')
    return email.message_from_string(path.read_text(encoding='utf-8'))


def test_links_of_the_long_description_are_those_of_readme_made_absolute(metadata):
    readme = list(_links((_ROOT / 'README.md').read_text(encoding='utf-8')))
    shown = list(_links(metadata.get_payload()))
    base = f'{metadata["Home-page"]}/'
    folders = {'link_open': f'blob/v{metadata["Version"]}', 'image': f'raw/v{metadata["Version"]}'}
    assert {kind for kind, _ in readme} == {'link_open', 'image'}
    assert shown == [(kind, urllib.parse.urljoin(base, f'{folders[kind]}/{target}')) for kind, target in readme]


def test_nothing_else_of_readme_changes(metadata):
    readme = (_ROOT / 'README.md').read_text(encoding='utf-8')
    shown = metadata.get_payload()
    for folder in ('blob', 'raw'):
        shown = shown.replace(f'{metadata["Home-page"]}/{folder}/v{metadata["Version"]}/', '')
    assert shown.strip() == readme.strip()
