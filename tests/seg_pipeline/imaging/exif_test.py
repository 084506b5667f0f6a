"""Orientations: what is applied is what OpenCV and Pillow both find, and what they do not agree on is rejected."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from seg_pipeline.imaging import images, rejects
from seg_pipeline.imaging.rejects import RejectError
from tests import bad_inputs

_PICTURE = bad_inputs.gradient()
_KINDS = ('PNG', 'JPEG', 'WEBP')
_UPRIGHT_SHAPE, _TURNED_SHAPE = (24, 30, 3), (30, 24, 3)
_LARGEST_DIFFERENCE = 6  # of decoders of JPEG and WebP


def _block(value=6, *, order='>', kind=3, count=1, more=(), thumbnail=b''):
    """EXIF data, in the form of a TIFF: an orientation, other tags, and a second directory with a thumbnail."""
    entries = sorted([(0x0112, kind, count, struct.pack(f'{order}HH', value, 0)), *more])
    texts = b'a camera\0\0'
    end = 8 + 2 + 12 * (len(entries) + 1) + 4
    entries.insert(0, (0x010F, 2, 9, struct.pack(f'{order}I', end)))  # its maker, behind the directory
    found = struct.pack(f'{order}H', len(entries))
    found += b''.join(struct.pack(f'{order}HHI', *entry[:3]) + entry[3] for entry in entries)
    following = end + len(texts) if thumbnail else 0
    found += struct.pack(f'{order}I', following) + texts
    if thumbnail:
        at = struct.pack(f'{order}I', following + 2 + 24 + 4)
        size = struct.pack(f'{order}I', len(thumbnail))
        found += struct.pack(f'{order}H', 2) + b''.join(
            struct.pack(f'{order}HHI', tag, 4, 1) + content for tag, content in ((0x0201, at), (0x0202, size))
        )
        found += bytes(4) + thumbnail
    return (b'MM\0*' if order == '>' else b'II*\0') + struct.pack(f'{order}I', 8) + found


def _file(kind, block, **options):
    file = io.BytesIO()
    options |= {'lossless': True} if kind == 'WEBP' else {}
    Image.fromarray(_PICTURE).save(file, kind, exif=block if kind == 'WEBP' else b'Exif\0\0' + block, **options)
    return file.getvalue()


def _by_opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


_TRANSPOSE = Image.Transpose
_TURNS = (
    _TRANSPOSE.FLIP_LEFT_RIGHT,
    _TRANSPOSE.ROTATE_180,
    _TRANSPOSE.FLIP_TOP_BOTTOM,
    _TRANSPOSE.TRANSPOSE,
    _TRANSPOSE.ROTATE_270,
    _TRANSPOSE.TRANSVERSE,
    _TRANSPOSE.ROTATE_90,
)


def _by_pillow(data):
    # Not by `exif_transpose`, which writes all tags anew, and so fails for many that are damaged.
    image = Image.open(io.BytesIO(data)).convert('RGB')
    value = image.getexif().get(0x0112, 1)
    return np.asarray(image.transpose(_TURNS[value - 2]) if value in range(2, 9) else image)


def _assert_same(found, expected):
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= _LARGEST_DIFFERENCE


@pytest.mark.parametrize('kind', _KINDS)
@pytest.mark.parametrize('order', ['<', '>'])
def test_every_orientation_is_applied_as_by_opencv_and_pillow(kind, order):
    thumbnail = bad_inputs.saved(_PICTURE[:8, :8], 'JPEG')
    for value in range(10):
        for block in (_block(value, order=order), _block(value, order=order, thumbnail=thumbnail)):
            data = _file(kind, block)
            found = images.decode_image(data, 'image')
            assert found.shape == (_TURNED_SHAPE if 5 <= value <= 8 else _UPRIGHT_SHAPE)
            _assert_same(found, _by_opencv(data))
            _assert_same(found, _by_pillow(data))


@pytest.mark.parametrize('kind', _KINDS)
@pytest.mark.parametrize('order', ['<', '>'])
def test_a_changed_byte_is_rejected_unless_both_decoders_find_the_same(kind, order):
    block = _block(order=order)
    reasons = []
    for position in range(len(block)):
        for bit in (1, 2, 16, 128):
            changed = bytearray(block)
            changed[position] ^= bit
            data = _file(kind, bytes(changed))
            try:
                found = images.decode_image(data, 'image')
            except RejectError as error:
                reasons.append(error.reason)
                continue
            _assert_same(found, _by_pillow(data))
            _assert_same(found, _by_opencv(data))
    assert set(reasons) == {rejects.DAMAGED}
    assert 4 * 6 <= len(reasons) < 4 * 3 * len(block) / 4


_FORMS = {
    'of another type': (_block(kind=4), 'type 4, count 1'),
    'a byte': (_block(kind=1), 'type 1, count 1'),
    'several values': (_block(count=2), 'type 3, count 2'),
    'there twice': (_block(more=[(0x0112, 3, 1, b'\0\1\0\0')]), '2 EXIF orientations'),
    'cut off': (_block()[:30], 'tags end at byte 34 of 30'),
    'no TIFF': (b'XX' + _block()[2:], 'not as a TIFF'),
    'behind a damaged tag': (_block()[:18] + b'\0\1' + _block()[20:], 'the tag 271 in front of it is damaged'),
    'a directory in the header': (_block()[:4] + b'\0\0\0\2' + _block()[8:], 'tags end at'),
}


@pytest.mark.parametrize('kind', _KINDS)
@pytest.mark.parametrize('form', _FORMS)
def test_an_orientation_that_is_not_certain_is_rejected(kind, form):
    block, says = _FORMS[form]
    with pytest.raises(RejectError, match=f'a.x: .*{says}') as caught:
        images.decode_image(_file(kind, block), 'a.x')
    assert caught.value.reason == rejects.DAMAGED


def test_exif_data_twice_are_rejected():
    data = _file('PNG', _block())
    again = bad_inputs.with_chunks(data, bad_inputs.chunk(b'eXIf', _block(1)))
    with pytest.raises(RejectError, match='2 times'):
        images.decode_image(again, 'image')


@pytest.mark.parametrize('value', range(1, 9))
def test_exif_data_that_the_header_of_a_webp_denies_turn_no_picture(value):
    data = bytearray(_file('WEBP', _block(value)))
    data[20] &= ~0x08
    if value == 1:  # upright in each reader
        np.testing.assert_array_equal(images.decode_image(bytes(data), 'image'), _PICTURE)
        return
    with pytest.raises(RejectError, match=f'orientation {value}, but its header says it has no EXIF data'):
        images.decode_image(bytes(data), 'image')


def test_what_xmp_data_alone_say_is_not_applied():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    picture = Image.fromarray(_PICTURE)
    for kind, options in (('JPEG', {'xmp': xmp}), ('WEBP', {'xmp': xmp}), ('TIFF', {'tiffinfo': {700: xmp}})):
        file = io.BytesIO()
        picture.save(file, kind, **options)
        assert images.decode_image(file.getvalue(), 'image').shape == _UPRIGHT_SHAPE, kind
    assert images.decode_image(_file('WEBP', _block(), xmp=xmp.replace(b'6', b'1')), 'image').shape == _TURNED_SHAPE


def test_what_cameras_and_programs_write_is_accepted():
    exif = Image.Exif()
    exif[0x0112] = 8
    exif.get_ifd(0x8769)[0x9003] = '2020:01:01 00:00:00'
    picture = Image.fromarray(_PICTURE)
    file = io.BytesIO()
    picture.save(file, 'MPO', exif=exif, save_all=True, append_images=[picture.resize((8, 8))])
    assert images.decode_image(file.getvalue(), 'image').shape == _TURNED_SHAPE
    assert images.decode_image(_file('WEBP', b'Exif\0\0' + _block()), 'image').shape == _TURNED_SHAPE
    for block in (b'', Image.Exif().tobytes()[6:]):  # nothing is in them
        assert images.decode_image(_file('JPEG', block), 'image').shape == _UPRIGHT_SHAPE
