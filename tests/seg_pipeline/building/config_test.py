import json

import pytest

from seg_pipeline import errors
from seg_pipeline.building import config as config_lib
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.dataset import manifest
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
