"""Something else is where the data set goes: it is named and left alone, by who makes one and who reads one.

The same on an object store is in `object_store_test`.
"""

import os
import shutil
import stat

import pytest
from absl import flags
from absl.testing import flagsaver

from beam_jobs import prepare_dataset
from seg_pipeline import errors
from seg_pipeline.dataset import integrity, manifest
from tests import fake_data

_MAKE = 'remove it, move it away, or give another --dataset_version or --output_dir'
_READ = 'give the directory that prepare_dataset printed last'
_LOST = 'records.jsonl is there and manifest.json is not: a data set whose manifest is missing; put manifest.json back '


def _prepare(root, *more):
    folders = [f'--images={root}/in/images', f'--masks={root}/in/masks', f'--labels={root}/in/labels.csv']
    own = [f'--output_dir={root}/out', '--image_size=16,24', *more]
    with flagsaver.flagsaver():
        argv = flags.FLAGS(['prepare_dataset', *folders, *own, '--direct_num_workers=1'], known_only=True)
        return prepare_dataset.main(argv)


@pytest.fixture
def place(tmp_path):
    """Where the data set goes; `tmp_path/else` holds a file of the user."""
    fake_data.write_pairs(tmp_path / 'in', num_pairs=6)
    (tmp_path / 'else').mkdir()
    (tmp_path / 'else' / 'mine').write_text('mine')
    found = tmp_path / 'out' / 'clothing_parsing' / '16x24' / '1.0.0'
    found.parent.mkdir(parents=True)
    return found


def _file(place, root):
    place.write_text('mine')
    return 'it is a file'


def _pipe(place, root):
    os.mkfifo(place)
    return 'it is no directory'


def _dangling_link(place, root):
    place.symlink_to(root / 'nothing')
    return f'it is a symbolic link to {root}/nothing, which does not exist'


def _link_to_itself(place, root):
    place.symlink_to(place)
    return f'it is a symbolic link to {place}, which cannot be read: Too many levels of symbolic links'


def _link_to_a_file(place, root):
    place.symlink_to(root / 'else' / 'mine')
    return f'it is a symbolic link to {root}/else/mine, which is a file'


def _link_to_a_directory(place, root):
    place.symlink_to(root / 'else')
    return f'it is a symbolic link to {root}/else, which holds mine and no manifest.json'


def _link_to_an_empty_directory(place, root):
    (root / 'empty').mkdir()
    place.symlink_to(root / 'empty')
    return f'it is a symbolic link to {root}/empty, which is an empty directory'


def _own_files(place, root):
    shutil.copytree(root / 'else', place)
    return 'it holds mine and no manifest.json'


def _own_directory(place, root):
    (place / 'sub').mkdir(parents=True)
    return 'it holds sub and no manifest.json'


def _tree(root):
    """Everything below a directory, with its contents, links not followed."""
    return {
        path: (os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else stat.S_IFMT(mode))
        for path in root.rglob('*')
        for mode in (path.lstat().st_mode,)
    }


@pytest.mark.parametrize(
    'put',
    [
        _file,
        _pipe,
        _dangling_link,
        _link_to_itself,
        _link_to_a_file,
        _link_to_a_directory,
        _link_to_an_empty_directory,
        _own_files,
        _own_directory,
    ],
)
def test_what_is_there_is_named_and_left_alone(tmp_path, place, put):
    what = put(place, tmp_path)
    before = _tree(tmp_path)
    for more in ([], ['--clean'], ['--on_error=reject', '--paranoid']):
        with pytest.raises(errors.UserError) as refused:
            _prepare(tmp_path, *more)
        assert str(refused.value) == f'{place}: the data set goes there, but {what}; {_MAKE}'
    with pytest.raises(errors.UserError) as refused:
        list(integrity.problems(str(place)))
    assert str(refused.value) == f'{place}: no data set: {what}; {_READ}'
    assert _tree(tmp_path) == before


@pytest.mark.parametrize('instead', ['nothing', 'a broken link', 'a directory'])
def test_a_data_set_without_its_manifest(tmp_path, place, instead):
    _prepare(tmp_path)
    path = place / manifest.FILE_NAME
    path.unlink()
    if instead == 'a broken link':
        path.symlink_to('nothing')
    elif instead == 'a directory':
        path.mkdir()
    before = _tree(tmp_path)
    with pytest.raises(errors.UserError) as refused:
        _prepare(tmp_path)
    assert str(refused.value) == f'{place}: the data set goes there, but {_LOST}from a copy, or {_MAKE}'
    if instead == 'a directory':
        (problem,) = integrity.problems(str(place))
        assert problem.startswith(f'{place}: no data set: manifest.json: not a regular file')
    else:
        with pytest.raises(errors.UserError) as refused:
            list(integrity.problems(str(place)))
        remedy = 'from a copy, or remove the rest and prepare the data set again'
        assert str(refused.value) == f'{place}: no data set: {_LOST}{remedy}'
    assert _tree(tmp_path) == before


def test_a_data_set_behind_a_link_is_one(tmp_path, place, capsys):
    _prepare(tmp_path)
    place.rename(tmp_path / 'moved')
    place.symlink_to(tmp_path / 'moved')
    assert _prepare(tmp_path) == 0
    assert 'nothing to do' in capsys.readouterr().out
    assert list(integrity.problems(str(place))) == []
