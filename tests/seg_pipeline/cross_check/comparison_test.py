"""Every way to read a mask, broken on purpose: the last look finds it, and finds nothing where nothing is wrong."""

import io
import itertools
import pathlib

import cv2
import numpy as np
import pytest
from PIL import Image

from seg_pipeline import errors
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.cross_check.comparison import Checked
from seg_pipeline.dataset import manifest, record_index
from seg_pipeline.imaging import masks
from seg_pipeline.labels.label_map import LabelMap, SourceTable
from seg_pipeline.labels.remapping import Remapping
from tests import fake_data

_COLORS = ((0, 0, 0), (200, 10, 30), (20, 180, 60), (5, 90, 220))
_LABELS = LabelMap(('background', 'skin', 'hair', 'coat'), _COLORS)
_REMAPPING = Remapping(SourceTable.of(_LABELS), (0, 2, 255, 1))
_GROUPS = LabelMap(('background', 'coat', 'skin'), _COLORS[:3])


def _saved(array, kind):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


def _with_palette(ids, kind):
    image = Image.fromarray(ids, 'P')
    image.putpalette([value for color in _COLORS for value in color])
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def _rgb(ids):
    return np.array(_COLORS, np.uint8)[ids]


def _mat(ids):
    scipy_io = pytest.importorskip('scipy.io')
    file = io.BytesIO()
    scipy_io.savemat(file, {'groundtruth': ids.astype(float)}, do_compression=True)
    return file.getvalue()


# By name: the suffix, the file of ids, and the values of --mask_format that read it so.
_FILES = {
    'grey png': ('.png', lambda ids: _saved(ids, 'PNG'), ('auto', 'ids')),
    'grey png of 16 bits': ('.png', lambda ids: cv2.imencode('.png', ids.astype(np.uint16))[1].tobytes(), ('ids',)),
    'palette png': ('.png', lambda ids: _with_palette(ids, 'PNG'), ('auto', 'ids')),
    'rgb png': ('.png', lambda ids: _saved(_rgb(ids), 'PNG'), ('auto', 'color')),
    'binary png': ('.png', lambda ids: _saved((ids % 2 * 255).astype(np.uint8), 'PNG'), ('binary',)),
    'grey tiff': ('.tif', lambda ids: _saved(ids, 'TIFF'), ('auto', 'ids')),
    'tiff of 16 bits': ('.tif', lambda ids: _saved(ids.astype(np.uint16), 'TIFF'), ('auto',)),
    'palette tiff': ('.tif', lambda ids: _with_palette(ids, 'TIFF'), ('ids',)),
    'rgb tiff': ('.tif', lambda ids: _saved(_rgb(ids), 'TIFF'), ('auto', 'color')),
    'grey bmp': ('.bmp', lambda ids: _saved(ids, 'BMP'), ('ids',)),
    'palette bmp': ('.bmp', lambda ids: _with_palette(ids, 'BMP'), ('ids',)),
    'rgb bmp': ('.bmp', lambda ids: _saved(_rgb(ids), 'BMP'), ('auto', 'color')),
    'mat': ('.mat', _mat, ('auto', 'ids')),
}
_CASES = [(name, form) for name, (_, _, forms) in _FILES.items() for form in forms]
_MODES = [
    (*modes, (_LABELS, _GROUPS)[number % 2])
    for number, modes in enumerate(itertools.product(('nearest', 'majority'), ('squash', 'letterbox', 'crop')))
]


def _config(root, name, form, resize='squash', mask_resize='nearest', labels=_LABELS, **options):
    """A configuration of six pairs of different sizes."""
    suffix, save, _ = _FILES[name]
    for folder in ('images', 'masks'):
        (root / folder).mkdir(parents=True)
    random = np.random.default_rng(7)
    for number in range(6):
        height, width = random.integers(20, 60, 2)
        ids = np.kron(random.integers(0, 4, (9, 9)), np.ones((7, 7))).astype(np.uint8)[:height, :width]
        Image.fromarray(random.integers(0, 255, (*ids.shape, 3), np.uint8)).save(root / 'images' / f'a{number}.png')
        (root / 'masks' / f'a{number}{suffix}').write_bytes(save(ids))
    records = RecordOptions(
        labels,
        _REMAPPING if labels is _GROUPS else None,
        (24, 32),
        resize=resize,
        mask_resize=mask_resize,
        mask_format=form,
        **options,
    )
    return BuildConfig(SourceFolders(str(root / 'images'), str(root / 'masks')), str(root / 'out'), records)


def _permute(monkeypatch):
    """Breaks the reader: class 1 becomes 2 and 2 becomes 1, as a wrong table would do; 0 and 1 where there are two."""
    real = masks.decode

    def decode(data, path, reader=None, max_pixels=masks.formats.DEFAULT_MAX_PIXELS):
        ids = real(data, path, reader, max_pixels)
        if reader is None:
            return ids
        table = np.arange(256, dtype=np.uint8)
        table[[0, 1]] = 1, 0
        return table[ids]

    monkeypatch.setattr(masks, 'decode', decode)


@pytest.mark.parametrize(('name', 'form'), _CASES)
@pytest.mark.parametrize(('mask_resize', 'resize', 'labels'), _MODES)
def test_a_wrong_reader_is_found_and_a_right_one_passes(tmp_path, monkeypatch, name, form, resize, mask_resize, labels):
    good = _config(tmp_path / 'good', name, form, resize, mask_resize, labels)
    assert manifest.read(fake_data.prepare(good)).num_records('train')
    _permute(monkeypatch)
    bad = _config(tmp_path / 'bad', name, form, resize, mask_resize, labels)
    with pytest.raises(errors.OutsideError) as caught:
        fake_data.prepare(bad)
    message = str(caught.value)
    assert f'{bad.sources.masks}/a' in message
    assert "pair 'a" in message or "pair '" in message
    assert ' and the record id ' in message
    assert 'row ' in message
    assert not pathlib.Path(bad.dataset_dir).exists()


@pytest.mark.parametrize('file_format', ['tfrecord', 'array_record'])
@pytest.mark.parametrize('schema', ['tfds', 'model_garden'])
def test_every_form_of_records(tmp_path, monkeypatch, file_format, schema):
    if file_format == 'array_record':
        pytest.importorskip('array_record')
    options = {'file_format': file_format, 'schema': schema}
    assert fake_data.prepare(_config(tmp_path / 'good', 'grey png', 'auto', **options))
    _permute(monkeypatch)
    with pytest.raises(errors.OutsideError):
        fake_data.prepare(_config(tmp_path / 'bad', 'grey png', 'auto', **options))


def test_one_wrong_pixel_is_named_with_both_values(tmp_path, monkeypatch):
    from seg_pipeline.building import pair

    config = _config(tmp_path, 'grey png', 'auto')
    real = pair.resize_mask

    def resize_mask(options, mask):
        resized = real(options, mask).copy()
        resized[5, 7] = (resized[5, 7] + 1) % 4
        return resized

    monkeypatch.setattr(pair, 'resize_mask', resize_mask)
    with pytest.raises(errors.OutsideError) as caught:
        fake_data.prepare(config)
    mask = np.array(Image.open(f'{config.sources.masks}/a0.png'))
    messages = []
    for number in range(6):
        mask = np.array(Image.open(f'{config.sources.masks}/a{number}.png'))
        row, column = 11 * mask.shape[0] // 48, 15 * mask.shape[1] // 64
        value = mask[row, column]
        messages.append(
            f'a{number}.png: the file has value {value} (id {value}) at row {row}, column {column}, '
            f'and the record id {(value + 1) % 4} at row 5, column 7;'
        )
    assert any(message in str(caught.value) for message in messages), (messages, caught.value)


def test_a_source_that_changes_meanwhile(tmp_path, monkeypatch):
    from seg_pipeline.building import publish

    config = _config(tmp_path, 'grey png', 'auto')
    real = publish.publish

    def late(request, made):
        for path in pathlib.Path(config.sources.masks).iterdir():
            path.write_bytes(path.read_bytes() + b'x')
        return real(request, made)

    monkeypatch.setattr(publish, 'publish', late)
    with pytest.raises(errors.UserError, match='was changed since its record was made'):
        fake_data.prepare(config)


def _fail(error):
    def fail(*_, **__):
        raise error

    return fail


def _no_memory_of_opencv():
    error = cv2.error('OpenCV: error: (-4:Insufficient memory)')
    error.code, error.err = -4, 'wanted 7 GiB'
    return error


# Where memory ends: what is patched, with what error, and the kind of mask that comes there.
_WITHOUT_MEMORY = {
    'reading': ('seg_pipeline.storage.read_bytes', MemoryError('wanted 7 GiB'), 'grey png'),
    'Pillow': ('PIL.PngImagePlugin.PngImageFile.load', MemoryError('wanted 7 GiB'), 'grey png'),
    'OpenCV': ('seg_pipeline.cross_check.source_files.cv2.imdecode', _no_memory_of_opencv(), 'grey tiff'),
    'scipy': ('scipy.io.loadmat', MemoryError('wanted 7 GiB'), 'mat'),
    'placing': ('seg_pipeline.cross_check.placement.place', MemoryError('wanted 7 GiB'), 'grey png'),
}


@pytest.mark.parametrize('where', _WITHOUT_MEMORY)
def test_too_little_memory_is_a_warning(tmp_path, monkeypatch, where):
    pytest.importorskip('scipy.io')
    what, error, name = _WITHOUT_MEMORY[where]
    config = _config(tmp_path, name, 'auto')
    entries = list(record_index.of(fake_data.prepare(config)))
    monkeypatch.setattr(what, _fail(error))
    shard = f'{config.dataset_dir}/{entries[0].shard}'
    first = [entry for entry in entries if entry.shard == entries[0].shard]
    checked = config.records.checker(config.sources.masks).check(shard, first, str(tmp_path), 'f')
    failed = tuple(f'{entry.mask} (not enough memory: wanted 7 GiB)' for entry in first)
    assert checked == Checked(failed=failed)
    (warning,) = checked.warnings(of_all=True)
    assert 'not compared with their files, because the second library failed: a' in warning
    assert len(warning.splitlines()) == 1
