"""A Beam worker never pays for TensorFlow: the modules of each package are imported in a process of its own."""

import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
_HEAVY = {'input', 'augmentation'}  # the folders that load TensorFlow


def _modules():
    for path in sorted([*_ROOT.glob('seg_pipeline/**/*.py'), *_ROOT.glob('beam_jobs/*.py')]):
        if path.parent.name not in _HEAVY and not path.stem.endswith('_dataset_builder'):
            yield '.'.join(path.relative_to(_ROOT).with_suffix('').parts).removesuffix('.__init__')


@pytest.mark.parametrize('package', ['seg_pipeline', 'beam_jobs'])
def test_no_light_module_imports_tensorflow(package):
    modules = [module for module in _modules() if module.startswith(package)]
    assert len(modules) >= 4
    code = '\n'.join(
        [
            'import importlib, sys',
            f'for module in {modules!r}:',
            '    importlib.import_module(module)',
            "    heavy = [m for m in ('tensorflow', 'keras', 'matplotlib') if m in sys.modules]",
            '    assert not heavy, (module, heavy)',
        ]
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=_ROOT)


def test_the_root_package_imports_nothing():
    code = 'import sys; before = set(sys.modules); import seg_pipeline; print(sorted(set(sys.modules) - before))'
    found = subprocess.run([sys.executable, '-c', code], check=True, cwd=_ROOT, capture_output=True, text=True).stdout
    assert found.strip() == "['seg_pipeline']"
