"""Names that are not ASCII, in environments in which Python takes file names for ASCII or prints ASCII alone."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

from seg_pipeline.dataset import manifest
from tests import fake_data

_ASCII_NAMES = {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'}
_ASCII_TERMINAL = {'PYTHONIOENCODING': 'ascii'}
_UTF8 = {'LC_ALL': 'C.UTF-8'}
_PLACE = 'öut/clothing_parsing/24x20/1.0.0'
_ROOT = pathlib.Path(__file__).parents[2]


def _python(directory, environment, *arguments):
    inherited = {name: value for name, value in os.environ.items() if name not in (*_ASCII_NAMES, *_ASCII_TERMINAL)}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command,
        cwd=directory,
        env={**inherited, 'PYTHONPATH': str(_ROOT), **environment},
        capture_output=True,
        check=False,
    )


def _prepare(directory, environment, workers=1):
    """The command in a directory, which it names by no path: so provenance and card are equal in every directory."""
    arguments = ('--images=sôurce/images', '--masks=sôurce/masks', '--labels=sôurce/labels.csv', '--output_dir=öut')
    more = (f'--direct_num_workers={workers}', '--image_size=24,20', '--on_error=reject', '--group_regex=(.*)\\.')
    return _python(directory, environment, '-m', 'beam_jobs.prepare_dataset', *arguments, *more)


def _write(directory):
    source = directory / 'sôurce'
    fake_data.write_pairs(source, num_pairs=5, size=(24, 20))
    for tree, prefix in (('images', 'img'), ('masks', 'seg')):
        for number, name in enumerate(('é', 'e\u0301', '名前', '🧥'), 1):
            path = source / tree / f'{prefix}_{number:04d}.png'
            path.rename(path.with_name(f'{prefix}_{number:04d}{name}.png'))
        os.link(source / tree / f'{prefix}_0005.png', os.fsencode(source / tree) + b'/\xff.png')  # no UTF-8 anywhere
    return directory


@pytest.fixture(scope='module')
def expected(tmp_path_factory):
    """The digests of what is published in a locale of UTF-8."""
    directory = _write(tmp_path_factory.mktemp('utf8'))
    done = _prepare(directory, _UTF8)
    assert done.returncode == 0, done.stderr
    return _digests(directory)


def _digests(directory):
    root = directory / _PLACE
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob('*')
        if path.is_file()
    }


@pytest.mark.parametrize(
    ('environment', 'workers', 'printed'),
    [
        (_ASCII_NAMES, 2, 'öut'.encode()),
        ({**_ASCII_NAMES, **_ASCII_TERMINAL}, 1, rb'\xf6ut'),
        ({**_UTF8, **_ASCII_TERMINAL}, 1, rb'\xf6ut'),
    ],
)
def test_every_published_byte_is_that_of_a_utf8_locale(tmp_path, expected, environment, workers, printed):
    other = _write(tmp_path)
    done = _prepare(other, environment, workers)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == printed + b'/clothing_parsing/24x20/1.0.0'
    assert _digests(other) == expected
    lines = (other / _PLACE / manifest.RECORDS_FILE).read_text(encoding='utf-8').splitlines()
    assert {json.loads(line)['image'] for line in lines} == {
        *('img_0001é.png', 'img_0002e\u0301.png', 'img_0003名前.png', 'img_0004🧥.png', 'img_0005.png')
    }
    rejected = (other / _PLACE / manifest.REJECTED_FILE).read_text(encoding='utf-8').splitlines()
    assert [json.loads(line)['reason'] for line in rejected] == ['unusable_name'] * 2
    verified = _python(other, environment, '-m', 'seg_pipeline.verify', _PLACE)
    assert verified.returncode == 0, verified.stderr


def test_a_mistake_is_one_line_there_too(tmp_path):
    directory = _write(tmp_path)
    command = ('-m', 'beam_jobs.prepare_dataset', '--images=ñada', '--masks=ñada', '--labels=sôurce/labels.csv')
    done = _python(directory, {**_ASCII_NAMES, **_ASCII_TERMINAL}, *command, '--output_dir=öut')
    assert done.returncode == 2
    assert done.stderr == b'error: \\xf1ada: no such directory\n'


def test_a_program_is_told_to_read_names_as_utf8(tmp_path):
    directory = _write(tmp_path)
    code = "from seg_pipeline.planning import pairing; pairing.list_files('s\\udcc3\\udcb4urce/images')"
    done = _python(directory, _ASCII_NAMES, '-c', code)
    message = done.stderr.splitlines()[-1]
    assert b'UserError: ' in message
    assert b'Python takes file names for ascii here' in message
    assert b'start it with PYTHONUTF8=1 in the environment' in message
    assert (
        _python(directory, {**_ASCII_NAMES, 'PYTHONUTF8': '1'}, '-c', code.replace('\\udcc3\\udcb4', 'ô')).returncode
        == 0
    )
