"""The commands of the README, as it writes them, one after another on synthetic pairs; and the demo."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from seg_pipeline.imaging import rejects
from tests import fake_tfds

_ROOT = pathlib.Path(__file__).parents[1]
_README = (_ROOT / 'README.md').read_text(encoding='utf-8')
# What makes a run short enough for a test; nothing else of a command is changed.
_SHORTER = {'--pairs=120': '--pairs=12'}
_SHORTER_FLAGS = {'trainer.train': ['--epochs=1', '--steps_per_epoch=2', '--batch_size=4']}


def _commands():
    """All `python -m` commands in the README's sh blocks, in order, each once."""
    blocks = re.findall(r'```sh\n(.*?)```', _README, re.DOTALL)
    lines = [line for block in blocks for line in block.replace('\\\n', '').splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith('python -m ')))


def _environment():
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get('PYTHONPATH'))))
    return {**os.environ, 'PYTHONPATH': path}


def _run(words, cwd):
    done = subprocess.run(words, cwd=cwd, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f'{shlex.join(words)}\n{done.stdout}\n{done.stderr}'
    return done.stdout


@pytest.mark.slow
def test_every_command_of_the_readme(tmp_path):
    ran = []
    # In the place of the catalog's data set, which is a download of 800 MB, one that has its features.
    pets = tmp_path / 'tensorflow_datasets/oxford_iiit_pet/4.0.0'
    shutil.copytree(fake_tfds.make(tmp_path / 'made'), pets)
    for line in _commands():
        line_here = line.replace('$HOME', str(tmp_path))
        words = [_SHORTER.get(word, word) for word in shlex.split(line_here, comments=True)]
        assert words[:2] == ['python', '-m']
        _run([sys.executable, *words[1:], *_SHORTER_FLAGS.get(words[2], [])], tmp_path)
        ran.append(words[2])
    assert ran == [
        'seg_pipeline.synthetic',
        'beam_jobs.prepare_dataset',
        'seg_pipeline.verify',
        'trainer.train',
        'trainer.evaluate',
        'trainer.predict',
        'trainer.export',
        'trainer.train',
    ]
    figures = json.loads((tmp_path / 'runs/demo/evaluation/validation.json').read_text())
    assert 0 <= figures['pixel_accuracy'] <= 1
    assert len(list((tmp_path / 'predictions/masks').rglob('*.png'))) == 12
    assert (tmp_path / 'runs/demo/curves.png').stat().st_size > 1000
    training, reading = re.findall(r'```python\n(.*?)```', _README, re.DOTALL)
    training = training.replace('epochs=30', 'epochs=1, frozen_epochs=0, steps_per_epoch=2, batch_size=4')
    assert 'pixel accuracy' in _run([sys.executable, '-c', training], tmp_path)
    printed = _run([sys.executable, '-c', reading + '\nprint(sum(1 for _ in data))'], tmp_path).split('\n')
    assert printed[0] == "10 ['null', 'accessories', 'bag']"
    assert printed[1] == '10'


@pytest.mark.slow
def test_the_demo(tmp_path):
    environment = {
        **_environment(),
        'BIN': str(pathlib.Path(sys.executable).parent),
        'OUT': str(tmp_path / 'out'),
        'PAIRS': '12',
        'TRAIN_FLAGS': '--epochs=1 --steps_per_epoch=2 --batch_size=4',
    }
    command = ['sh', str(_ROOT / 'tools' / 'demo.sh')]
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    named = done.stdout.split('Done. Look at\n')[1].split()
    assert len(named) >= 4
    assert all(pathlib.Path(path).stat().st_size > 100 for path in named)


def test_the_readme_explains_every_reason():
    table = _README.split('<!-- rejects: begin -->')[1].split('<!-- rejects: end -->')[0]
    rows = re.findall(r'^\| `(\w+)` \| (.*) \|$', table, re.MULTILINE)
    assert rows == list(rejects.EXPLANATIONS.items())


def test_make_help_lists_the_targets():
    printed = _run(['make', '--no-print-directory', 'help'], _ROOT)  # which `make test` above it would have make print
    assert [line.split()[0] for line in printed.splitlines()] == [
        'help',
        'demo',
        'test',
        'test-engines',
        'attack',
        'lint',
        'format',
        'bench',
        'docs',
        'lock',
        'clean',
    ]


def test_every_picture_of_the_readme_is_there():
    pictures = re.findall(r'!\[[^]]+\]\(([^)]+)\)', _README)
    assert len(pictures) >= 3
    assert all((_ROOT / picture).stat().st_size > 1000 for picture in pictures)
