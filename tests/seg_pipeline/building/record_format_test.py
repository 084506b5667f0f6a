"""The bytes of records are pinned for each RECORD_FORMAT, which the fingerprint of every shard has.

If they changed under one number, a command would take over shards that were made by other code, and call a data set
unchanged that it would make otherwise.
"""

import hashlib
import io
import itertools

import numpy as np
import pytest
from PIL import Image

from seg_pipeline.building import fingerprints, markers, pair, shard
from seg_pipeline.building.config import RecordOptions, SourceFolders
from seg_pipeline.building.pair import Files
from seg_pipeline.imaging import images, masks, resizing
from seg_pipeline.labels.label_map import LabelMap, SourceTable
from seg_pipeline.labels.remapping import Remapping
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.planning.sharding import ShardPlan
from seg_pipeline.records import schemas, writer
from tests import mask_files

_LIBRARIES = {
    'array_record': '0.8.6',
    'numpy': '2.4.6',
    'opencv': '5.0.0',
    'pillow': '12.3.0',
    'simplejpeg': '1.9.0',
}
# By RECORD_FORMAT; each the first 16 digits of a SHA-256.
_PINNED: dict[int, dict[str, str]] = {
    3: {
        'squash, nearest': 'c5f177327c621373',
        'squash, majority': '50e3298328e32492',
        'letterbox, nearest': 'd0049232ec35782f',
        'letterbox, majority': 'a0fa111880def4d9',
        'crop, nearest': '40b6a93bbc2070eb',
        'crop, majority': '30c098687cfde00b',
        'stored as png': '29d92e1fe56df67c',
        'stored as jpeg': '24d70518a053071f',
        'tfds, png': 'c5f177327c621373',
        'tfds, jpeg': 'ceef47caa0ba9e56',
        'model_garden, png': '1e82d396ca4344c8',
        'model_garden, jpeg': '692919f6bac00698',
        'mask read as auto': 'f17e929d8901f7ab',
        'mask read as color': 'f17e929d8901f7ab',
        'mask read as binary': '5310e6190d8a9b92',
        'mask read as ids': 'c5f177327c621373',
        'own size': 'd0620b2120923e77',
        'larger': 'e277a031d122c3ba',
        'remapping': '42cdf950a050787f',
        'marker, tfrecord': '2b0d7e88b88c9d14',
        'marker, array_record': '79c6b05f69702b15',
    },
}

_LABELS = LabelMap(('road', 'car', 'sky'), ((128, 64, 128), (0, 0, 142), (70, 130, 180)))
_REMAPPING = Remapping(SourceTable.of(_LABELS), (0, 255, 1))
_SIZE = (21, 34)  # (height, width); no multiple of what it is resized to


def _photo():
    """(H, W, 3) uint8 RGB."""
    rows, columns, channels = np.ogrid[: _SIZE[0], : _SIZE[1], :3]
    return ((rows * 11 + columns * 7 * (channels + 1) + (rows * columns) % 13) % 256).astype(np.uint8)


def _ids():
    """(H, W) the classes, and some ignored pixels."""
    rows, columns = np.ogrid[: _SIZE[0], : _SIZE[1]]
    found = (rows // 4 + columns // 5) % 3
    found[3:6, 10:20] = 255
    return found


def _turned_jpeg():
    """The photo as a JPEG that has to be turned to be upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(np.rot90(_photo()).copy()).save(file, 'JPEG', quality=90, exif=exif)
    return file.getvalue()


def _colored_mask():
    colors = np.array(_LABELS.colors)[np.where(_ids() == 255, 0, _ids())]
    return mask_files.png(colors, color_type=2)


_PNG = Files(mask_files.png(_photo(), color_type=2), mask_files.png(_ids()))
_JPEG = Files(_turned_jpeg(), mask_files.png(_ids()))
_COLORED = Files(_PNG.image, _colored_mask())
_BINARY = Files(_PNG.image, mask_files.png(_ids() % 3 % 2 * 255))


def _options(**options):
    return RecordOptions(_LABELS, **{'image_size': (6, 11), **options})


# Each option of a record in every value, and each way to read a mask.
_RECORDS = {
    **{
        f'{resize}, {mask_resize}': (_PNG, _options(resize=resize, mask_resize=mask_resize))
        for resize, mask_resize in itertools.product(resizing.MODES, resizing.MASK_MODES)
    },
    **{f'stored as {one}': (_JPEG, _options(image_encoding=one)) for one in images.ENCODINGS},
    **{
        f'{schema}, {encoding}': (_PNG, _options(schema=schema, image_encoding=encoding))
        for schema, encoding in itertools.product(schemas.SCHEMAS, images.ENCODINGS)
    },
    **{
        f'mask read as {one}': (_COLORED if one in ('auto', 'color') else _BINARY, _options(mask_format=one))
        for one in masks.MASK_FORMATS
        if one != 'ids'
    },
    'mask read as ids': (_PNG, _options(mask_format='ids')),
    'own size': (_PNG, _options(image_size=None)),
    'larger': (_PNG, _options(image_size=(40, 50))),
    'remapping': (_PNG, _options(remapping=_REMAPPING)),
}
_PAIR = SourcePair('town/0001', 'town/0001.png', 'town/0001_labels.png')


def _digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


@pytest.fixture
def found(tmp_path):
    """The digests of records, and of shards with their markers, as the code makes them now."""
    result = {name: _digest(pair.prepare_record(*case, _PAIR)[1]) for name, case in _RECORDS.items()}
    sources = SourceFolders(str(tmp_path / 'images'), str(tmp_path / 'masks'))
    for path, data in zip((sources.image_path(_PAIR.image), sources.mask_path(_PAIR.mask)), _PNG, strict=True):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(data)
    for file_format in writer.FILE_FORMATS:
        plan = ShardPlan('name', 'train', (_PAIR,), fingerprint='0' * 64)
        shard.write(sources, _options(file_format=file_format), str(tmp_path / file_format), plan)
        path = markers.marker_path(str(tmp_path / file_format), plan.fingerprint)
        with open(path, 'rb') as file:
            result[f'marker, {file_format}'] = _digest(file.read())
    return result


def test_other_bytes_have_another_record_format(found):
    libraries = fingerprints.library_versions(writer.ARRAY_RECORD)
    pinned = _PINNED.get(fingerprints.RECORD_FORMAT, {})
    changed = [name for name in found if found[name] != pinned.get(name)]
    if not pinned:
        what = f'no records are pinned of RECORD_FORMAT {fingerprints.RECORD_FORMAT}: add them to _PINNED'
    elif libraries != _LIBRARIES:
        what = (
            f'the pinned records are of {_LIBRARIES}, here is {libraries}: make sure with the old ones that nothing '
            'else changed, and pin the new ones; RECORD_FORMAT stays, as fingerprints have the versions'
        )
    else:
        what = (
            f'records are others now: {changed}. If that is meant, raise RECORD_FORMAT in '
            'seg_pipeline/building/fingerprints.py, so that no shard of the old code is taken over, and pin the new '
            'ones under that number'
        )
    assert found == pinned, f'{what}:\n{found}'
