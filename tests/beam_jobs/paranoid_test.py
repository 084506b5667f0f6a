"""Sources that change without a change of their size and time, and what --paranoid makes of it."""

import os
import pathlib

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from beam_jobs import prepare_dataset
from seg_pipeline import errors
from seg_pipeline.dataset import record_index
from seg_pipeline.imaging import masks
from tests import fake_data, mask_files


@pytest.fixture
def source(tmp_path):
    """Ten pairs whose files keep their sizes when pixels change; beside them an image without a mask."""
    fake_data.write_pairs(tmp_path / 'source', num_pairs=10)
    for path in [*(tmp_path / 'source').rglob('*.png')]:
        Image.open(path).save(path.with_suffix('.tif'))
        path.unlink()
    images = tmp_path / 'source' / 'images'
    (images / 'img_0011.tif').write_bytes((images / 'img_0010.tif').read_bytes())
    return tmp_path / 'source'


def _main(source, out, *more):
    arguments = [f'--images={source}/images', f'--masks={source}/masks', f'--labels={source}/labels.csv']
    own = [f'--output_dir={out}', '--image_size=16,24', '--num_shards=train:2', *more]
    beam = ['--direct_num_workers=1', '--direct_running_mode=in_memory']
    with flagsaver.flagsaver():
        prepare_dataset.main(flags.FLAGS(['prepare_dataset', *arguments, *own, *beam], known_only=True))


def _interrupt(source, out, *more):
    """Leaves finished shards, and no data set."""
    with pytest.raises(errors.UserError, match='1 rejected'):
        _main(source, out, *more)
    (source / 'images' / 'img_0011.tif').unlink()


def _change(path, array):
    before = path.stat()
    Image.fromarray(array).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def _files(out):
    names = {pathlib.Path(name).name for name in fake_data.FILES_WITH_THE_COMMAND}
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob('*.*')
        if path.name not in names and path.is_file()
    }


@pytest.mark.parametrize('tree', ['images', 'masks'])
def test_a_changed_source_of_a_finished_shard(source, tmp_path, tree):
    options = ['--on_error=fail']
    _interrupt(source, tmp_path / 'out', *options)
    for path in sorted((source / tree).iterdir()):
        array = np.array(Image.open(path))
        _change(path, array[::-1].copy())
    _main(source, tmp_path / 'out', '--paranoid', *options)
    _main(source, tmp_path / 'fresh', *options)
    assert _files(tmp_path / 'out') == _files(tmp_path / 'fresh')


def test_a_changed_source_of_a_scan(source, tmp_path, capsys):
    options = ['--near_duplicates=group', '--near_duplicate_distance=1']
    _interrupt(source, tmp_path / 'out', *options)
    first, second = (source / 'images' / f'img_000{number}.tif' for number in (1, 2))
    brighter = np.array(Image.open(first)) // 2 + 60
    _change(second, brighter.astype(np.uint8))
    _main(source, tmp_path / 'out', *options, '--paranoid')
    root = capsys.readouterr().out.splitlines()[-1]
    assert [entry.key for entry in record_index.of(root) if entry.duplicate_of] == ['0002']


def test_paranoid_compares_every_mask(source, tmp_path, monkeypatch):
    """One wrong pair of many: the sample may miss it."""
    fake_data.write_pairs(tmp_path / 'many', num_pairs=80)
    real = masks.decode

    def decode(data, path, *arguments):
        ids = real(data, path, *arguments)
        return 3 - ids if 'seg_0033' in path else ids

    monkeypatch.setattr(masks, 'decode', decode)
    with pytest.raises(
        errors.OutsideError, match=r"^pair '0033': record \d+ of .*, made from .*seg_0033.png: the file"
    ):
        _main(tmp_path / 'many', tmp_path / 'out', '--paranoid')
    assert not list((tmp_path / 'out').rglob('manifest.json'))


def test_masks_without_a_second_reader_are_counted(source, tmp_path, capsys):
    (source / 'images' / 'img_0011.tif').unlink()
    for path in [*(source / 'masks').iterdir()]:  # the oldest header
        indices = np.asarray(Image.open(path))
        data = mask_files.bmp(indices, 8, [(value, value, value) for value in range(256)], header=12)
        path.unlink()
        path.with_suffix('.bmp').write_bytes(data)
    for more, shown in (([], 'a sample of 8'), (['--paranoid'], '10')):
        _main(source, tmp_path / f'out{len(more)}', *more)
        (line,) = [line for line in capsys.readouterr().err.splitlines() if 'compared' in line]
        number = shown.split()[-1]
        assert line.startswith(f'warning: {number} of {shown} masks were not compared with their files: ')
        assert 'scipy' not in line
