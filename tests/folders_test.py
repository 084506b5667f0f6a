"""The folders: imports go down the lists of pyproject.toml, folders stay small, and each says what it is for."""

import ast
import pathlib
import shutil
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[1]
_PACKAGES = ('seg_pipeline', 'beam_jobs', 'trainer')
_MOST_MODULES = 13


def _check_imports(directory):
    """The exit code and output of import-linter over the packages in a directory, by the pyproject.toml there."""
    command = [sys.executable, '-c', 'from importlinter.cli import lint_imports_command as main; main()', '--no-cache']
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_imports_go_down_and_never_in_a_circle():
    code, output = _check_imports(_ROOT)
    assert code == 0, output
    assert '0 broken' in output


@pytest.mark.parametrize(
    ('module', 'line', 'contract'),
    [
        (
            'seg_pipeline/records/tfrecord.py',
            'from seg_pipeline.dataset import manifest',
            'The folders of seg_pipeline',
        ),
        ('trainer/config/run.py', 'from beam_jobs import runners', 'never each other'),
        ('seg_pipeline/building/config.py', 'from seg_pipeline.building import pair', 'No circle'),
        ('seg_pipeline/attic.py', '', 'The folders of seg_pipeline'),
        ('trainer/models/segmenter.py', 'from trainer.training import steps', 'The folders of the trainer'),
    ],
)
def test_the_check_finds_what_is_wrong(tmp_path, module, line, contract):
    for package in _PACKAGES:
        shutil.copytree(_ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copy(_ROOT / 'pyproject.toml', tmp_path)
    with (tmp_path / module).open('a') as file:
        file.write(f'\n{line}\n')
    code, output = _check_imports(tmp_path)
    assert code == 1, output
    assert any(contract in row and row.endswith('BROKEN') for row in output.splitlines()), output


# Roots of packages, which import nothing, and folders that TFDS or a command finds by a path of its own.
_WITHOUT_A_LIST = [
    _ROOT / name for name in ('seg_pipeline', 'beam_jobs', 'seg_pipeline/clothing_parsing', 'trainer/recipes')
]
_FOLDERS = [init.parent for package in _PACKAGES for init in sorted((_ROOT / package).rglob('__init__.py'))]
_IN_EACH_FOLDER = pytest.mark.parametrize('folder', _FOLDERS, ids=lambda folder: str(folder.relative_to(_ROOT)))


@_IN_EACH_FOLDER
def test_a_folder_is_small_and_says_what_it_is_for(folder):
    modules = [path for path in folder.glob('*.py') if path.name != '__init__.py']
    assert len(modules) <= _MOST_MODULES
    tree = ast.parse((folder / '__init__.py').read_text())
    assert ast.get_docstring(tree)


@_IN_EACH_FOLDER
def test_public_names_are_listed_and_are_there(folder):
    """`__all__` lists names that the `__init__` of a folder imports or defines, or else its modules, all of them."""
    tree = ast.parse((folder / '__init__.py').read_text())
    names = {name for node in tree.body if isinstance(node, ast.Assign) for name in _listed(node)}
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    modules = {path.stem for path in folder.glob('*.py')} - {'__init__', '__main__'}
    assert names <= imported | defined | modules
    if folder not in _WITHOUT_A_LIST:
        assert names
        assert names <= imported | defined or names == modules


def _listed(node):
    return ast.literal_eval(node.value) if getattr(node.targets[0], 'id', '') == '__all__' else []
