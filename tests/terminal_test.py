"""The commands on a real terminal, and with a pipe: the bar, what stays of it, and that no message is lost in it."""

import os
import re
import signal
import subprocess
import sys

import cv2
import pytest

from tests import fake_data, terminal
from tests.trainer import fake_run

_BAR = re.compile(r'^(.+?) +(\d+)%\|.*\|')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A directory with a data set, its pairs, a run, and photos."""
    place = tmp_path_factory.mktemp('place')
    place.joinpath('dataset').symlink_to(
        fake_data.make_dataset(place / 'data', num_pairs=8, splits='train:0.5,validation:0.5', num_shards='train:2')
    )
    fake_run.make(str(place / 'run'), os.path.realpath(place / 'dataset'))
    (place / 'photos').mkdir()
    for i in range(200):
        cv2.imwrite(str(place / 'photos' / f'{i}.png'), fake_run.image(100, 100, i))
    return place


def _arguments(place, out, command):
    data = f'--data_dir={os.path.realpath(place / "dataset")}'
    return {
        'prepare_dataset': (
            'beam_jobs.prepare_dataset',
            f'--images={place}/data/source/images',
            f'--masks={place}/data/source/masks',
            f'--labels={place}/data/source/labels.csv',
            '--image_size=32,32',
            '--direct_num_workers=1',
            f'--output_dir={out}',
        ),
        'verify': ('seg_pipeline.verify', os.path.realpath(place / 'dataset')),
        'show_augmentation': ('trainer.show_augmentation', data, f'--output_dir={out}'),
        'train': (
            'trainer.train',
            data,
            f'--model_dir={out}',
            '--encoder=tiny',
            '--encoder_weights=none',
            '--frozen_epochs=0',
            '--epochs=2',
            '--batch_size=2',
            '--steps_per_epoch=2',
            '--augmentation=none',
        ),
        'evaluate': ('trainer.evaluate', data, f'--model_dir={place}/run'),
        'predict': (
            'trainer.predict',
            f'--model_dir={place}/run',
            f'--images={place}/photos',
            f'--output_dir={out}',
            '--batch_size=4',
        ),
    }[command]


_COMMANDS = {
    'prepare_dataset': '2/2 shards, 8/8 pairs',
    'verify': '8/8 records',
    'show_augmentation': '16/16 pairs',
    'train': 'epoch 2/2 (fine_tune)',
    'evaluate': '4/4 images',
    'predict': '200/200 images',
}


@pytest.mark.parametrize('command', _COMMANDS)
def test_a_terminal_shows_one_bar_which_ends_full(place, tmp_path, command):
    process, ours = terminal.start(*_arguments(place, tmp_path / 'out', command))
    lines = terminal.screen(terminal.read(process, ours))
    os.close(ours)
    assert process.returncode == 0, lines
    assert not any('\x1b' in line for line in lines)
    bars = [found for line in lines if (found := _BAR.match(line))]
    assert len(bars) == 1, lines
    assert (bars[0][1][: len(_COMMANDS[command])], bars[0][2]) == (_COMMANDS[command], '100')
    assert not any('|' in line for line in lines if not _BAR.match(line)), lines
    if command == 'train':  # the lines of the epochs are above the bar
        assert [line[:27] for line in lines if line.startswith('epoch')][:2] == [
            'epoch 1/2 (fine_tune)  step',
            'epoch 2/2 (fine_tune)  step',
        ]
        assert sum(line.startswith('  validation  loss') for line in lines) == 2


@pytest.mark.parametrize('command', ['verify', 'train'])
def test_a_log_has_only_complete_lines(place, tmp_path, command):
    arguments = [sys.executable, '-m', *_arguments(place, tmp_path / 'out', command)]
    done = subprocess.run(arguments, cwd=terminal.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for text in (done.stdout, done.stderr):
        assert '\r' not in text
        assert '%|' not in text
    assert done.stderr == ''


@pytest.mark.parametrize(('number', 'word'), [(signal.SIGINT, 'interrupted'), (signal.SIGTERM, 'terminated')])
def test_a_signal_is_answered_on_a_line_of_its_own(place, tmp_path, number, word):
    process, ours = terminal.start(*_arguments(place, tmp_path / 'out', 'predict'))
    seen = terminal.read(process, ours, until='200 images')
    process.send_signal(number)
    lines = terminal.screen(seen + terminal.read(process, ours))
    os.close(ours)
    assert process.returncode == 128 + number
    assert word in lines, lines
    assert [line for line in lines if '%|' in line] == [line for line in lines if _BAR.match(line)]


def test_an_error_is_on_a_line_of_its_own(place, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'masks').write_text('a file, where a directory is to be')
    process, ours = terminal.start(*_arguments(place, tmp_path / 'out', 'predict'))
    lines = terminal.screen(terminal.read(process, ours))
    os.close(ours)
    assert process.returncode in (1, 2)
    assert any(_BAR.match(line) for line in lines)
    assert [line[:7] for line in lines if 'error:' in line] == ['error: ']


def test_problems_of_a_data_set_are_above_the_bar(place, tmp_path):
    dataset = fake_data.make_dataset(tmp_path, num_pairs=4)
    with open(os.path.join(dataset, 'statistics.json'), 'a') as file:
        file.write('\n')
    process, ours = terminal.start('seg_pipeline.verify', dataset)
    lines = terminal.screen(terminal.read(process, ours))
    os.close(ours)
    assert process.returncode == 1
    (bar,) = [number for number, line in enumerate(lines) if _BAR.match(line)]
    problems = [number for number, line in enumerate(lines) if 'statistics.json' in line]
    assert problems
    assert max(problems) < bar
    assert lines[bar + 1].endswith('DAMAGED: 1 problem')
