"""The flags that decide which files are a pair, through the command in this process."""

import json
import re
import shlex
import shutil

import pytest
from absl import flags
from absl.testing import flagsaver

from beam_jobs import prepare_dataset
from seg_pipeline import errors
from seg_pipeline.dataset import manifest, provenance
from tests import fake_data

_PLACE = 'clothing_parsing/24x20/1.0.0'


@pytest.fixture
def source(tmp_path):
    fake_data.write_pairs(tmp_path / 'source', num_pairs=6, size=(24, 20))
    return tmp_path / 'source'


def _main(images, masks, labels, out, *more):
    arguments = [f'--images={images}', f'--masks={masks}', f'--labels={labels}', f'--output_dir={out}']
    arguments += ['--image_size=24,20', '--direct_num_workers=1', *more]
    with flagsaver.flagsaver():
        prepare_dataset.main(flags.FLAGS(['prepare_dataset', *arguments], known_only=True))


def _renamed(source, target, image, mask):
    """The pairs of a source under other names, which are given as formats of their number."""
    for tree, form in (('images', image), ('masks', mask)):
        for path in (source / tree).iterdir():
            copy = target / form.format(int(path.stem[-4:]))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return target


def _records(dataset_dir):
    """What is stored of each pair, by the number in its file name."""
    found = manifest.read(str(dataset_dir))
    return {
        int(re.findall(r'\d+', record.file_name)[-1]): (record.image.tobytes(), record.mask.tobytes())
        for split in found.split_names
        for record in fake_data.read_split(str(dataset_dir), split)
    }


def test_names_whose_numbers_differ_are_no_pairs_until_expressions_say_so(source, tmp_path, capsys):
    data = _renamed(source, tmp_path / 'data', 'images/2019_cam_{:02d}.png', 'masks/2020_cam_{:02d}.png')
    trees = (data / 'images', data / 'masks', source / 'labels.csv')
    for more in ([], ['--dry_run']):
        with pytest.raises(errors.UserError) as caught:
            _main(*trees, tmp_path / 'out', *more)
        message = str(caught.value)
        assert message.startswith('image 2019_cam_01.png and mask 2020_cam_01.png would be a pair: ')
        assert 'all images have the number 2019 in their names, where all masks have 2020; ' in message
    assert not (tmp_path / 'out').exists()
    said = shlex.split(message.partition('if they are pairs, say so: ')[2])
    assert [flag.partition('=')[0] for flag in said] == ['--image_key_regex', '--mask_key_regex']
    _main(*trees, tmp_path / 'out', *said)
    assert '5 in train, 1 in validation, 0 rejected' in capsys.readouterr().out
    assert len(_records(tmp_path / 'out' / _PLACE)) == 6


@pytest.mark.parametrize('more', [[], ['--dry_run']])
def test_the_plan_says_what_is_no_part_of_the_keys(source, tmp_path, capsys, more):
    trees = (source / 'images', source / 'masks', source / 'labels.csv')
    _main(*trees, tmp_path / 'out', *more)
    assert capsys.readouterr().out.splitlines()[0] == 'keys: the * in img_* of the images and seg_* of the masks'
    equal = _renamed(source, tmp_path / 'equal', 'images/{:02d}.png', 'masks/{:02d}.png')
    _main(equal / 'images', equal / 'masks', source / 'labels.csv', tmp_path / 'out_equal', *more)
    assert 'keys:' not in capsys.readouterr().out


@pytest.mark.parametrize(
    ('image', 'mask', 'image_glob', 'mask_glob'),
    [
        ('{}.jpg', '{}.png', '*.jpg', '*.png'),
        ('{}.jpg', '{}_mask.png', '*.jpg', '*_mask.png'),
        ('{}.png', '{}_mask.png', '*[0-9].png', '*_mask.png'),
        ('rgb/{}.png', 'ids/{}.png', 'rgb/*', 'ids/**'),
        ('scene {0}/image.png', 'scene {0}/labels.png', '**/image.png', '**/labels.png'),
    ],
)
def test_images_and_masks_in_one_folder(source, tmp_path, capsys, image, mask, image_glob, mask_glob):
    one = _renamed(source, tmp_path / 'one', image, mask)
    globs = [f'--image_glob={image_glob}', f'--mask_glob={mask_glob}']
    _main(one, one, source / 'labels.csv', tmp_path / 'out', *globs)
    assert '5 in train, 1 in validation, 0 rejected' in capsys.readouterr().out
    found = _records(tmp_path / 'out' / _PLACE)
    # The pairs of two folders, prepared without any pattern.
    _main(source / 'images', source / 'masks', source / 'labels.csv', tmp_path / 'apart')
    assert found == _records(tmp_path / 'apart' / _PLACE)
    assert len(found) == 6


def test_a_single_pair_in_one_folder(source, tmp_path):
    one = _renamed(source, tmp_path / 'one', '{}.jpg', '{}_mask.png')
    for path in one.iterdir():
        if not path.name.startswith('3'):
            path.unlink()
    globs = ['--image_glob=*.jpg', '--mask_glob=*.png', '--splits=train:1']
    _main(one, one, source / 'labels.csv', tmp_path / 'out', *globs)
    assert list(_records(tmp_path / 'out' / _PLACE)) == [3]


@pytest.mark.parametrize(('flag', 'other'), [('--image_glob', '--mask_glob'), ('--mask_glob', '--image_glob')])
def test_a_pattern_that_fits_nothing_is_named(source, tmp_path, flag, other):
    one = _renamed(source, tmp_path / 'one', 'sub/{}.jpg', 'sub/{}.png')
    expected = f'{flag}=*.jpg: fits no file in {one}, which holds 12 files such as sub/1.jpg; '
    with pytest.raises(errors.UserError, match=f'^{re.escape(expected)}'):
        _main(one, one, source / 'labels.csv', tmp_path / 'out', f'{flag}=*.jpg', f'{other}=**/*.png')
    assert not (tmp_path / 'out').exists()


def test_patterns_are_in_the_command_and_no_option_of_the_data_set(source, tmp_path, capsys):
    """The index names every source: other patterns that choose the same pairs make the same data set."""
    one = _renamed(source, tmp_path / 'one', '{}.jpg', '{}_mask.png')
    trees = (one, one, source / 'labels.csv', tmp_path / 'out')
    _main(*trees, '--image_glob=*.jpg', '--mask_glob=*_mask.png')
    dataset_dir = tmp_path / 'out' / _PLACE
    assert "'--image_glob=*.jpg' '--mask_glob=*_mask.png'" in provenance.read(str(dataset_dir)).command
    assert 'glob' not in json.dumps(manifest.read(str(dataset_dir)).options)
    _main(*trees, '--image_glob=*.jp*g', '--mask_glob=*.png')
    assert 'nothing to do' in capsys.readouterr().out
    with pytest.raises(
        errors.UserError, match=r"made from something else: pair '[2-6]' is in it and has no files here"
    ):
        _main(*trees, '--image_glob=1.jpg', '--mask_glob=1_mask.png')


@pytest.mark.parametrize(
    ('image', 'more'), [('{}.jpg', []), ('{}_photo.png', []), ('{}_photo.png', ['--mask_glob=*_*'])]
)
def test_one_folder_without_patterns_is_refused_with_their_flags(source, tmp_path, image, more):
    one = _renamed(source, tmp_path / 'one', image, '{}_ids.png')
    with pytest.raises(errors.UserError, match=r'would be both: .*--image_glob=\*\.jpg --mask_glob='):
        _main(one, f'{one}/.', source / 'labels.csv', tmp_path / 'out', *more)
    assert not (tmp_path / 'out').exists()


def test_classes_of_one_colour_are_refused_only_where_masks_may_be_read_by_colour(source, tmp_path, capsys):
    names = [line.split(',')[1] for line in (source / 'labels.csv').read_text().splitlines()[1:]]
    rows = ''.join(f'{i},{name},#000000\n' for i, name in enumerate(names))
    (tmp_path / 'black.csv').write_text(f'id,name,color\n{rows}')
    trees = (source / 'images', source / 'masks', tmp_path / 'black.csv', tmp_path / 'out')
    with pytest.raises(errors.UserError, match='classes 0 and 1 have one colour, #000000'):
        _main(*trees)
    _main(*trees, '--mask_format=ids')
    assert '5 in train, 1 in validation, 0 rejected' in capsys.readouterr().out
    found = _records(tmp_path / 'out' / _PLACE)
    _main(source / 'images', source / 'masks', source / 'labels.csv', tmp_path / 'apart')
    assert found == _records(tmp_path / 'apart' / _PLACE)
