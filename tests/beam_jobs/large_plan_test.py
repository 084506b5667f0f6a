"""A job whose listings are taken for long ones: the same data set, the same messages."""

import hashlib
import pathlib
import shutil

import cv2
import numpy as np
import pytest

from beam_jobs import pipeline, runners
from seg_pipeline import errors
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.building.markers import Result
from seg_pipeline.labels import label_map
from seg_pipeline.large_plans import listing
from seg_pipeline.planning import splits
from seg_pipeline.planning.split_options import SplitOptions
from tests import fake_data

_OPTIONS = {
    'plain': SplitOptions(),
    'groups': SplitOptions(group_regex=r'(\d)\.png$'),
    'contents': SplitOptions(near_duplicates='group', stratify='rare', seed=3, num_shards='train:3'),
    'all': SplitOptions(
        splits.parse_fractions('train:0.5,test:0.2,validation:0.3'),
        group_regex=r'_00(..)',
        near_duplicates='group',
        stratify='rare',
    ),
    'lists': SplitOptions(lists={'train': ['0001', '0002', '0003'], 'validation': ['0004']}),
}


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """Pairs of which some images are the same or nearly so, some masks are bad, and some files have no partner."""
    root = tmp_path_factory.mktemp('data') / 'source'
    fake_data.write_pairs(root, num_pairs=24, num_classes=6)
    images, masks = root / 'images', root / 'masks'
    shutil.copyfile(images / 'img_0002.png', images / 'img_0009.png')
    retouched = cv2.imread(str(images / 'img_0005.png'))
    retouched[:4, :4] = 255
    cv2.imwrite(str(images / 'img_0012.png'), retouched)
    cv2.imwrite(str(masks / 'seg_0007.png'), np.full((48, 40), 99, np.uint8))
    shutil.copyfile(images / 'img_0003.png', images / 'img_0077.png')
    shutil.copyfile(masks / 'seg_0003.png', masks / 'seg_0088.png')
    (images / 'about.txt').write_text('no image')
    return root


def _run(source, out, splitting, **options):
    build = BuildConfig(
        SourceFolders(str(source / 'images'), str(source / 'masks')),
        str(out),
        RecordOptions(label_map.read(str(source / 'labels.csv')), image_size=(16, 16)),
        split_options=splitting.to_json(),
    )
    beam_options = runners.parse_options(['--direct_num_workers=1'])
    return pipeline.run(pipeline.JobConfig(build, splitting, **options), beam_options)


def _digests(directory):
    files = sorted(path for path in pathlib.Path(directory).rglob('*') if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize('options', _OPTIONS)
def test_a_long_listing_gives_the_same_data_set(source, tmp_path, monkeypatch, capsys, options):
    found = []
    for name, most in (('short', listing.MOST_FILES_IN_MEMORY), ('long', 3)):
        monkeypatch.setattr(listing, 'MOST_FILES_IN_MEMORY', most)
        outcome = _run(source, tmp_path / name, _OPTIONS[options], allow_rejects=True)
        assert outcome.result is Result.PUBLISHED
        said = capsys.readouterr()
        found.append((_digests(outcome.directory), outcome.num_records, outcome.rejects, said.out, outcome.warnings))
        work = tmp_path / name / 'clothing_parsing' / '16x16' / '.work'
        assert not work.exists()
    assert found[0] == found[1]
    again = _run(source, tmp_path / 'short', _OPTIONS[options], allow_rejects=True)
    assert again.result is Result.UNCHANGED


def _message(source, out, **options):
    with pytest.raises(errors.UserError) as error:
        _run(source, out, SplitOptions(), **options)
    return str(error.value)


@pytest.mark.parametrize(
    'options',
    [
        {'image_glob': '*.jpg'},
        {'mask_glob': 'a/*'},
        {'image_key_regex': '('},
        {'mask_key_regex': r'x(\d+)'},
        {'image_key_regex': 'none'},
    ],
)
def test_mistakes_are_told_as_of_a_short_one(source, tmp_path, monkeypatch, options):
    said = []
    for most in (listing.MOST_FILES_IN_MEMORY, 3):
        monkeypatch.setattr(listing, 'MOST_FILES_IN_MEMORY', most)
        said.append(_message(source, tmp_path, **options))
    # Which file is the example depends on the order of the listing.
    assert said[0].partition(' such as ')[0] == said[1].partition(' such as ')[0]


def test_one_folder_of_both_is_refused_and_told_apart(source, tmp_path, monkeypatch):
    both = tmp_path / 'source'
    shutil.copytree(source, both)
    for mask in (both / 'masks').iterdir():
        mask.rename(both / 'images' / mask.name)
    (both / 'masks').rmdir()
    (both / 'masks').symlink_to('images')
    monkeypatch.setattr(listing, 'MOST_FILES_IN_MEMORY', 3)
    said = _message(both, tmp_path / 'out')
    assert 'is the folder of the images and of the masks, and ' in said
    globs = {'image_glob': 'img_*', 'mask_glob': 'seg_*'}
    outcome = _run(both, tmp_path / 'out', SplitOptions(), allow_rejects=True, **globs)
    assert outcome.num_records == {'train': 18, 'validation': 5}


def test_a_missing_folder_is_told(source, tmp_path, monkeypatch):
    monkeypatch.setattr(listing, 'MOST_FILES_IN_MEMORY', 3)
    (tmp_path / 'masks').mkdir()
    (tmp_path / 'labels.csv').write_bytes((source / 'labels.csv').read_bytes())
    (tmp_path / 'images').symlink_to(source / 'images')
    (tmp_path / 'masks').rmdir()
    assert _message(tmp_path, tmp_path / 'out') == f'{tmp_path}/masks: no such directory'
