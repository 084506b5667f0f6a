"""The notebooks in examples/: each is a valid file without outputs, and runs from its first cell to its last.

The cells run one after another in one process, as a kernel runs them, without Jupyter: they have nothing but Python.
"""

import json
import os
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

_ROOT = pathlib.Path(__file__).parents[1]
_NOTEBOOKS = sorted((_ROOT / 'examples').glob('*.ipynb'))


def _read(path):
    return json.loads(path.read_text(encoding='utf-8'))


@pytest.mark.parametrize('path', _NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    notebook = _read(path)
    assert (notebook['nbformat'], notebook['nbformat_minor']) == (4, 5)
    ids = [cell['id'] for cell in notebook['cells']]
    assert len(set(ids)) == len(ids)
    for cell in notebook['cells']:
        wanted = {'cell_type', 'id', 'metadata', 'source'}
        if cell['cell_type'] == 'code':
            wanted |= {'execution_count', 'outputs'}
            assert (cell['execution_count'], cell['outputs']) == (None, [])
        else:
            assert cell['cell_type'] == 'markdown'
        assert cell.keys() == wanted


def test_from_pairs_to_pictures(tmp_path):
    cells = [''.join(cell['source']) for cell in _read(_NOTEBOOKS[0])['cells'] if cell['cell_type'] == 'code']
    program = f'for cell in {cells!r}:\n    exec(compile(cell, "cell", "exec"), globals())\n'
    program += 'print("at the end", result.step, sorted(evaluation.metrics.present.nonzero()[0])[0], predicted)\n'
    environment = {**os.environ, 'PYTHONPATH': str(_ROOT), 'MPLBACKEND': 'agg'}
    command = [sys.executable, '-c', program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == 'at the end 32 0 PredictionResult(num_images=4, failures=[])'
    place = tmp_path / 'from_pairs_to_pictures'
    assert [path.name for path in tmp_path.iterdir()] == [place.name]
    masks = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (place / 'predictions' / 'masks').rglob('*.png')]
    assert len(masks) == 4
    assert all(mask.dtype == np.uint8 and mask.shape[1] == 275 for mask in masks)
