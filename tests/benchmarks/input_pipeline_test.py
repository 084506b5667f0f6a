"""The benchmark runs as its docstring writes it, for one contender of each kind."""

import json
import subprocess
import sys

import pytest

from tests import fake_data


@pytest.fixture(name='data_dir', scope='module')
def _data_dir(tmp_path_factory):
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=6, splits='train:1')


@pytest.mark.parametrize(
    ('contender', 'images_an_epoch'),
    [('seg_pipeline, in memory, augmented', 6), ("the article's tf.data, augmented", 6 * 8)],
)
def test_a_contender_measures_its_epochs(data_dir, contender, images_an_epoch):
    flags = [f'--data_dir={data_dir}', '--batch_size=2', '--epochs=2', f'--contender={contender}']
    command = [sys.executable, '-m', 'benchmarks.input_pipeline', *flags]
    done = subprocess.run(command, check=True, capture_output=True, text=True)

    result = json.loads(done.stdout.splitlines()[-1])
    assert result['images_an_epoch'] == images_an_epoch
    assert result['later'] > result['first'] > 0
    assert result['peak_rss_mib'] > 100
