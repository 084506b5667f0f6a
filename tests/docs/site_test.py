"""The site of the documentation: it builds without a warning, and leaves out no command, flag, folder or page."""

import ast
import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests import hostile_flags

_ROOT = pathlib.Path(__file__).parents[2]
_DOCS = _ROOT / 'docs'
_PACKAGES = ('seg_pipeline', 'beam_jobs', 'trainer')


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _commands():
    """What `python -m` can be given, by the last lines of the modules."""
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob('*.py')):
            if 'command_line.run(main' in path.read_text(encoding='utf-8'):
                yield '.'.join(path.relative_to(_ROOT).with_suffix('').parts).removesuffix('.__main__')


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """The built site, made without a network: every request would end at a closed port."""
    output = tmp_path_factory.mktemp('site')
    closed = {f'{scheme}_proxy': 'http://127.0.0.1:9' for scheme in ('http', 'https', 'HTTP', 'HTTPS')}
    command = [sys.executable, '-m', 'sphinx', '--fail-on-warning', '--keep-going', '--quiet', '--builder', 'html']
    command += ['--doctree-dir', str(output / 'doctrees'), str(_DOCS), str(output / 'html')]
    environment = {**os.environ, **closed}
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return output / 'html'


@pytest.mark.slow
def test_pages_have_what_they_are_made_from(site):
    train = (site / 'reference/commands/train.html').read_text(encoding='utf-8')
    text = re.sub(r'<[^>]+>', '', train)
    assert 'Global batch size: images in one step over all devices together. At least 1. Default: 64.' in text
    assert 'id="cmdoption-trainer.train-batch_size"' in train
    records = (site / 'reference/python/seg_pipeline.records.html').read_text(encoding='utf-8')
    assert 'id="seg_pipeline.records.reader.read"' in records
    assert 'href="#seg_pipeline.records.reader.read"' in records  # by the list of public names


@pytest.mark.slow
def test_no_page_loads_anything_from_another_host(site):
    for page in site.rglob('*.html'):
        loaded = re.findall(
            r'<(?:script|img|iframe)[^>]*\bsrc="([^"]*)"|<link[^>]*\bhref="([^"]*)"', page.read_text(encoding='utf-8')
        )
        assert loaded
        assert not [target for pair in loaded for target in pair if '//' in target], page


def test_every_command_has_a_page():
    pages = {path: path.read_text(encoding='utf-8') for path in (_DOCS / 'reference/commands').glob('*.md')}
    described = [name for text in pages.values() for name in re.findall(r'^\.\. command:: (\S+)$', text, re.MULTILINE)]
    assert sorted(described) == sorted(_commands())


def test_every_command_gets_hostile_flags():
    assert sorted(one.module.removesuffix('.__main__') for one in hostile_flags.COMMANDS.values()) == sorted(
        _commands()
    )


def test_every_folder_is_in_the_architecture():
    drawing = _load(_ROOT / 'tools/draw_architecture.py')
    page = (_DOCS / 'architecture.md').read_text(encoding='utf-8')
    for package, rooms in (('seg_pipeline', drawing.SEG_PIPELINE), ('trainer', drawing.TRAINER)):
        folders = {path.parent.name for path in (_ROOT / package).glob('*/__init__.py')} - {'recipes'}
        assert {room.name for room in rooms} - {package} == folders
        for folder in folders:
            assert re.search(rf'^\| `{folder}` \|', page, re.MULTILINE), folder
    in_page = re.findall(r'^\| `(\w+)` \|', page.partition('| folder of `trainer`')[0], re.MULTILINE)
    assert in_page == [room.name for room in drawing.SEG_PIPELINE]


def test_folders_import_only_those_that_are_drawn_below_them():
    names = [room.name for room in _load(_ROOT / 'tools/draw_architecture.py').SEG_PIPELINE]
    for path in (_ROOT / 'seg_pipeline').rglob('*.py'):
        folder = path.relative_to(_ROOT / 'seg_pipeline').parts[0]
        if folder in names:
            wrong = {name for name in _imported(path) if name in names and names.index(name) < names.index(folder)}
            assert not wrong, path


def _imported(path):
    """The folders of seg_pipeline that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom) and node.module == 'seg_pipeline':
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or '').startswith('seg_pipeline.'):
            yield node.module.split('.')[1]
        elif isinstance(node, ast.Import):
            yield from (name.name.split('.')[1] for name in node.names if name.name.startswith('seg_pipeline.'))


@pytest.mark.parametrize('name', ['overview', 'rooms', 'one_pair'])
def test_pictures_are_what_the_script_draws(name):
    drawn = getattr(_load(_ROOT / 'tools/draw_architecture.py'), name)()
    assert (_DOCS / f'images/{name}.svg').read_text(encoding='utf-8') == drawn
