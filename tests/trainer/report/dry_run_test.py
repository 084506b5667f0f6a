"""A dry run: it measures, its figures are those of Keras, and nothing is there afterwards that was not before."""

import os
import pathlib
import subprocess
import sys

import pytest

import trainer
from seg_pipeline import errors
from tests import fake_data
from trainer import config
from trainer.models import segmenter
from trainer.report import dry_run

ROOT = pathlib.Path(__file__).parents[3]
RECIPE = config.Recipe(
    encoder='tiny_bn',
    encoder_weights='none',
    batch_size=2,
    epochs=3,
    frozen_epochs=1,
    steps_per_epoch=2,
    augmentation='none',
)


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=8, splits='train:0.5,validation:0.5')


def _tree(*directories):
    """Every file and directory with what a write would change."""
    paths = [path for directory in directories for path in pathlib.Path(directory).rglob('*')]
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_ino, path.is_file() and path.read_bytes()) for path in paths
    }


def test_the_figures_are_those_of_keras_and_nothing_is_written(tmp_path, data_dir, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = _tree(data_dir, tmp_path)
    found = trainer.dry_run(data_dir, str(tmp_path / 'run'), RECIPE)
    assert _tree(data_dir, tmp_path) == before

    network = segmenter.build('tiny_bn', (32, 32), 4)
    assert [(phase.name, phase.epochs, phase.steps) for phase in found.phases] == [
        ('frozen', 1, 2),
        ('fine_tune', 2, 4),
    ]
    for phase, encoder in zip(found.phases, (False, True), strict=True):
        segmenter.set_trainable(network, encoder=encoder, encoder_batch_norm=True)
        learns = sum(weight.shape.num_elements() for weight in network.trainable_weights)
        assert (phase.trainable, phase.trainable + phase.frozen) == (learns, network.count_params())
        assert min(phase.first_step, phase.further_step) > 0
    assert found.validation_seconds > 0
    resident = int(pathlib.Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    assert resident * 0.5 < found.memory < 100 * resident


def test_a_finished_run_is_left_as_it_is(tmp_path, data_dir):
    model_dir = tmp_path / 'run'
    trainer.train(data_dir, str(model_dir), RECIPE)
    half = model_dir / 'checkpoints' / 'ckpt-9_temp'  # which a command that trains removes
    half.mkdir()
    before = _tree(model_dir)
    assert trainer.dry_run(data_dir, str(model_dir), RECIPE).seconds > 0
    assert _tree(model_dir) == before
    with pytest.raises(errors.UserError, match='holds a run of another recipe: --seed is 0 there and 1 here'):
        trainer.dry_run(data_dir, str(model_dir), config.Recipe(**{**vars(RECIPE), 'seed': 1}))
    assert _tree(model_dir) == before


def test_the_expected_time_counts_each_part_as_often_as_it_is_done():
    phases = (
        dry_run.Phase('frozen', 2, 24, 10, 90, first_step=5.0, further_step=1.0),
        dry_run.Phase('fine_tune', 1, 12, 80, 20, first_step=7.0, further_step=2.0),
    )
    found = dry_run.DryRun(phases, 3.0, 4.0, 6.0, 2**30, {'GPU:0': 2**21})
    # 3 to decode, 5 + 23, 7 + 11 * 2, three validations of 4, and 6 for the first one's graph
    assert found.seconds == 3 + 28 + 29 + 12 + 6
    text = found.text()
    assert '10 learn, 90 are frozen' in text
    assert '1,024 MiB at most in this process, 2 MiB on GPU:0' in text
    assert text.endswith('1:18 for the whole run')


def test_the_command_prints_it_and_makes_no_directory(tmp_path, data_dir):
    home = tmp_path / 'home'
    temporary = tmp_path / 'temporary'
    home.mkdir()
    temporary.mkdir()
    environment = {**os.environ, 'HOME': str(home), 'TMPDIR': str(temporary)}
    options = ['--encoder=tiny', '--encoder_weights=none', '--batch_size=2', '--epochs=2', '--frozen_epochs=0']
    command = [sys.executable, '-m', 'trainer.train', f'--data_dir={data_dir}', f'--model_dir={tmp_path}/run']
    done = subprocess.run(
        [*command, *options, '--dry_run'], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert 'dry run: nothing was written' in lines
    assert lines[-1].startswith('expected time')
    assert not (tmp_path / 'run').exists()
    assert _tree(tmp_path / 'temporary') == {}
    # What Keras makes when it is imported for the first time: its configuration, and by matplotlib a list of fonts.
    known = ('.keras/keras.json', '.cache/matplotlib/fontlist')
    made = [str(path.relative_to(home)) for path in home.rglob('*') if path.is_file()]
    assert [path for path in made if not path.startswith(known)] == []
