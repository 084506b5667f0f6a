"""The page of before and after: what it shows is what a run sees, read off its own pictures."""

import base64
import io
import os
import re

import numpy as np
import pytest
from PIL import Image

from seg_pipeline import errors
from seg_pipeline.dataset.dataset_split import DatasetSplit
from seg_pipeline.input import augmentation, pipeline
from tests import fake_data
from trainer import jobs, options

_SIZE = (32, 48)


@pytest.fixture(name='data_dir', scope='module')
def _data_dir(tmp_path_factory):
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=5, splits='train:1', image_size=_SIZE)


def _pictures(page):
    for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page):
        yield np.array(Image.open(io.BytesIO(base64.b64decode(data))).convert('RGB'))


def test_the_page_shows_the_first_pairs_of_a_run_before_and_after(data_dir, tmp_path):
    path = jobs.show_augmentation(
        data_dir, str(tmp_path / 'new' / 'out'), options.AugmentationOptions('light', pairs=3, seed=4)
    )
    with open(path, encoding='utf-8') as file:
        page = file.read()

    split = DatasetSplit.read(data_dir, 'train')
    palette = split.label_map.palette()
    found = list(_pictures(page))
    assert len(found) == 3 * 4
    for place, name in enumerate(('none', 'light')):
        batches = pipeline.train_batches(
            split, batch_size=3, global_batch_size=3, seed=4, start_step=0, policy=augmentation.POLICIES[name],
            cache_budget_bytes=0,
        )  # fmt: skip
        (images, masks), *_ = batches.take(1).as_numpy_iterator()
        for number in range(3):
            np.testing.assert_array_equal(found[4 * number + 2 * place], images[number])
            np.testing.assert_array_equal(found[4 * number + 2 * place + 1], palette[masks[number, ..., 0]])
    assert 'crop_min_area=0.5' in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert os.listdir(tmp_path / 'new' / 'out') == ['augmentation.html']


def test_a_policy_that_is_unknown_is_named_before_anything_is_written(data_dir, tmp_path):
    with pytest.raises(errors.UserError, match='unknown --augmentation=storng'):
        jobs.show_augmentation(data_dir, str(tmp_path / 'out'), options.AugmentationOptions('storng', pairs=3, seed=4))
    assert not (tmp_path / 'out').exists()
