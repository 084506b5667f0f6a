import io
import json
import re

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st

from seg_pipeline import errors
from seg_pipeline.building import config as config_lib
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.dataset import manifest
from seg_pipeline.imaging import images
from seg_pipeline.labels.label_map import LabelMap, SourceTable
from seg_pipeline.labels.remapping import Remapping
from tests.seg_pipeline.building import small_build

_LABELS = LabelMap.default(('background', 'coat'))


def test_the_manifest_holds_what_makes_the_same_configuration(config):
    mapping = Remapping(SourceTable((0, 1, 7), ('a', 'b', 'c'), ((0, 0, 0), (1, 1, 1), (2, 2, 2))), (0, 1, 255))
    config = small_build.with_records(config, label_map=_LABELS, remapping=mapping, resize='crop', max_pixels=77)
    made = manifest.Manifest(
        'clothing_parsing', '16x16', '1.0.0', '', json.loads(json.dumps(config.options())), {}, 2, _LABELS, (), {}
    )
    assert BuildConfig.of_dataset(made, config.sources, config.output_dir) == config


@pytest.mark.parametrize(
    ('what', 'value'),
    [
        ('dataset_name', 'Street'),
        ('dataset_name', '../x'),
        ('dataset_name', 'a\nb'),
        ('version', '1.0'),
        ('version', ''),
    ],
)
def test_a_manifest_whose_name_or_version_is_none_is_damaged(config, what, value):
    names = {'dataset_name': 'street', 'version': '1.0.0', what: value}
    made = manifest.Manifest(
        names['dataset_name'], '16x16', names['version'], '', config.options(), {}, 2, _LABELS, (), {}
    )
    with pytest.raises(errors.UserError) as caught:
        BuildConfig.of_dataset(made, config.sources, config.output_dir)
    assert str(caught.value) == f'the manifest is damaged: {what} is {value!r}, which is none'


def test_places(tmp_path):
    config = BuildConfig(
        SourceFolders('i', 'm'), '/out', RecordOptions(_LABELS, image_size=(48, 32)), 'street', '2.0.1'
    )
    assert config.dataset_dir == '/out/street/48x32/2.0.1'
    assert (config.work_dir, config.check_dir) == ('/out/street/48x32/.work', '/out/street/48x32/.dry_run')
    assert config.report_dir == '/out/street/48x32/dry_run'
    assert config.sources.image_path('a/b.png') == 'i/a/b.png'
    assert config.sources.mask_path('b.png') == 'm/b.png'


@pytest.mark.parametrize('options', [{'dataset_name': 'Street'}, {'dataset_name': ''}, {'version': '1.0'}])
def test_names_that_tfds_does_not_take(options):
    with pytest.raises(errors.UserError, match='--dataset_'):
        BuildConfig(SourceFolders('i', 'm'), '/out', RecordOptions(_LABELS), **options)


@pytest.mark.parametrize(('text', 'size'), [('128,96', (128, 96)), ('128x96', (128, 96)), (' 4 , 5 ', (4, 5))])
def test_sizes(text, size):
    assert config_lib.parse_size(text) == size


@pytest.mark.parametrize('text', ['128', '0,5', '5,0', 'a,b', '-1,5', '1,2,3', ''])
def test_sizes_that_are_none(text):
    with pytest.raises(errors.UserError, match='wanted HEIGHT,WIDTH'):
        config_lib.parse_size(text)


@pytest.mark.parametrize(
    'version', ['01.00.0', '١.٠.٠', '1.0', '1.0.0.0', '1.0.-1', '1..0', '1.0.0 ', '1.0.' + '9' * 10, '²']
)
def test_versions_that_tfds_writes_otherwise(version):
    with pytest.raises(errors.UserError, match=f'--dataset_version={re.escape(version)}: '):
        BuildConfig(SourceFolders('i', 'm'), 'o', RecordOptions(_LABELS), version=version)


@given(version=st.from_regex(r'[0-9]{1,11}(\.[0-9]{1,11}){2,3}', fullmatch=True))
def test_an_accepted_version_is_what_tfds_prints_of_it(version):
    try:
        BuildConfig(SourceFolders('i', 'm'), 'o', RecordOptions(_LABELS), version=version)
    except errors.UserError:
        return
    assert str(tfds.core.Version(version)) == version


@pytest.mark.parametrize(('encoding', 'longest'), [('jpeg', 65_500), ('png', 1_000_000)])
def test_the_longest_side_is_the_longest_that_can_be_encoded(encoding, longest):
    for size in ((longest + 1, 1), (1, longest + 1)):
        with pytest.raises(errors.UserError, match=f'--image_encoding={encoding} stores at most {longest}'):
            RecordOptions(_LABELS, image_size=size, image_encoding=encoding)
        with pytest.raises(ValueError, match='cannot be encoded'):
            images.encode_image(np.zeros((*size, 3), np.uint8), encoding)
    RecordOptions(_LABELS, image_size=(longest, 1), image_encoding=encoding)
    encoded = images.encode_image(np.zeros((longest, 1, 3), np.uint8), encoding)
    assert PIL.Image.open(io.BytesIO(encoded)).size == (1, longest)


def test_a_record_has_no_more_pixels_than_a_source_may_have():
    with pytest.raises(errors.UserError, match=r'--image_size=100000,100000: .* --max_pixels'):
        RecordOptions(_LABELS, image_size=(100_000, 100_000))
    RecordOptions(_LABELS, image_size=(100, 100), max_pixels=77)
