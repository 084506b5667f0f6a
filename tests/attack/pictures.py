"""Attacks the decoders of images and masks: what is accepted must be what another decoder finds in the file."""

import io
import pathlib
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from seg_pipeline.imaging import images, masks, rejects
from seg_pipeline.labels.label_map import LabelMap
from tests import bad_inputs
from tests.attack import mutators, plain_readers
from tests.attack.target import ACCEPTED, Target, WrongError

MAX_PIXELS = 1_000_000
UNVERIFIED = 'accepted, no second reader'
# The two build the same libjpeg-turbo with other inverse transforms.
_JPEG_TOLERANCE = 6
_LABELS = LabelMap.default(tuple(f'class {i}' for i in range(16)))


def _with_pillow(array: NDArray[Any], kind: str, mode: str | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def _with_opencv(array: NDArray[Any], suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, array, list(options))[1].tobytes()


def repaired(random_: random.Random, data: bytes) -> bytes:
    """A PNG with right checksums, so that what was changed comes as far as the decoder; others as they are."""
    if not data.startswith(b'\x89PNG') or random_.random() < 0.3:
        return data
    result, at = bytearray(data), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from('>I', data, at)
        if at + 12 + length > len(data):
            break
        struct.pack_into('>I', result, at + 8 + length, zlib.crc32(data[at + 4 : at + 8 + length]))
        at += 12 + length
    return bytes(result)


def _inner_mutated(random_: random.Random, data: bytes) -> bytes:
    """A PNG whose compressed pixels are valid, and unpack to changed ones, or to fewer or more."""
    chunks = list(plain_readers.png_chunks(data))
    rows = zlib.decompress(b''.join(content for name, content in chunks if name == b'IDAT'))
    packed = zlib.compress(mutators.mutate(random_, rows, [rows]))
    others = [(name, content) for name, content in chunks if name not in (b'IDAT', b'IEND')]
    return data[:8] + b''.join(bad_inputs.chunk(*part) for part in (*others, (b'IDAT', packed), (b'IEND', b'')))


class _Pictures(Target):
    seeds: Sequence[bytes]

    def case(self, random_: random.Random) -> bytes:
        data = random_.choice(self.seeds)
        if data.startswith(b'\x89PNG') and random_.random() < 0.2:
            return _inner_mutated(random_, data)
        return repaired(random_, mutators.mutate(random_, data, self.seeds))


class Images(_Pictures):
    """PNG, JPEG, WebP, BMP and TIFF, of every kind that is accepted."""

    name = 'images'

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory)
        self.seeds = tuple(_image_seeds())

    def check(self, data: bytes) -> str:
        try:
            found = images.decode_image(data, 'image', MAX_PIXELS)
        except rejects.RejectError as error:
            return error.reason
        _check_form(found, 3)
        other = _second_opinion(data)
        if other is None:
            return UNVERIFIED
        if other.shape != found.shape:
            raise WrongError(f'accepted as {found.shape}, another decoder finds {other.shape}')
        tolerance = _JPEG_TOLERANCE if data[:2] == b'\xff\xd8' or b'WEBP' in data[:16] else 0
        if data[:2] == b'BM' and data[28] == 16:
            # Of 5 bits a channel, one library makes 0..255, the other 0..248.
            tolerance = 7
        difference = np.abs(found.astype(np.int64) - other).max(initial=0)
        if difference > tolerance:
            raise WrongError(f'accepted, but values differ by {difference} from what another decoder finds')
        return ACCEPTED


def _check_form(found: NDArray[np.uint8], ndim: int) -> None:
    if found.dtype != np.uint8 or found.ndim != ndim or not 0 < found.shape[0] * found.shape[1] <= MAX_PIXELS:
        raise WrongError(f'accepted as {found.shape} {found.dtype}')


def _image_seeds() -> list[bytes]:
    rgb = bad_inputs.gradient()
    grey = np.ascontiguousarray(rgb[..., 0])
    deep = grey.astype(np.uint16) * 257
    deep_rgb = rgb.astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = Image.Exif()
    upright[0x010F] = 'a camera'
    icc = _profile()
    rgba = np.dstack([rgb, grey])
    found = [
        _with_pillow(rgb, 'PNG'),
        _with_pillow(rgb, 'PNG', exif=exif, icc_profile=icc),
        _with_pillow(rgb, 'PNG', 'P'),
        _with_pillow(grey, 'PNG'),
        _with_pillow(grey, 'PNG', '1'),
        _with_pillow(rgba, 'PNG'),
        _with_opencv(deep, '.png'),
        _with_opencv(deep_rgb, '.png'),
        bad_inputs.raw_png(2, b''.join(b'\0' + row.tobytes() for row in rgb)),
        _interlaced(rgb),
        _with_pillow(rgb, 'TIFF', compression='tiff_adobe_deflate'),
        _with_pillow(rgb, 'TIFF', compression='tiff_lzw'),
        _with_pillow(rgb, 'TIFF'),
        _with_pillow(grey, 'TIFF'),
        _with_pillow(rgb, 'TIFF', 'P'),
        _with_opencv(deep, '.tif'),
        _with_pillow(rgb, 'BMP'),
        _with_pillow(rgb, 'BMP', 'P'),
        _with_pillow(grey, 'BMP', '1'),
        _with_pillow(rgb, 'WEBP', lossless=True),
        _with_pillow(rgb, 'WEBP', quality=80),
        _with_pillow(rgb, 'WEBP', exif=exif, icc_profile=icc),
        _with_pillow(rgba, 'WEBP', quality=80),
    ]
    for options in (
        {},
        {'progressive': True},
        {'subsampling': 0},
        {'exif': exif, 'icc_profile': icc},
        {'exif': upright},
        {'restart_marker_blocks': 2},
    ):
        found.append(_with_pillow(rgb, 'JPEG', **options))
    return [*found, _with_pillow(grey, 'JPEG'), _with_pillow(rgb, 'JPEG', 'CMYK')]


def _profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes())
    profile[24:36] = bytes(12)  # the time at which it was made: a case must be the same in every run
    return bytes(profile)


def _interlaced(values: NDArray[np.uint8]) -> bytes:
    """A PNG of 8 bits of which every 8th pixel comes first, written by hand: no library here writes any."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = [values[top::down, left::right] for top, left, down, right in passes]
    rows = b''.join(b'\0' + row.tobytes() for part in parts if part.size for row in part)
    kind = 2 if values.ndim == 3 else 0
    header = struct.pack('>IIBBBBB', values.shape[1], values.shape[0], 8, kind, 0, 0, 1)
    chunks = ((b'IHDR', header), (b'IDAT', zlib.compress(rows)), (b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(bad_inputs.chunk(*part) for part in chunks)


def _second_opinion(data: bytes) -> NDArray[np.uint8] | None:
    """What the other of the two libraries makes of a file, None if it refuses it."""
    try:
        if data[:2] in (b'\x89P', b'\xff\xd8'):
            image = Image.open(io.BytesIO(data))
            if image.size[0] * image.size[1] > MAX_PIXELS:
                return None
            return _rgb(ImageOps.exif_transpose(image))
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        return None if found is None else found[..., ::-1]
    except Exception:  # of the other decoder, which is not what is tested
        return None


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith('I'):
        grey = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ('P', 'RGBA', 'LA', 'PA'):
        # Transparency is dropped, not laid over black.
        image = image.convert('RGBA')
    return np.asarray(image.convert('RGB'))


class Masks(_Pictures):
    """PNG, BMP and TIFF: ids as stored, and classes by colour."""

    name = 'masks'

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory)
        self.seeds = tuple(_mask_seeds())

    def case(self, random_: random.Random) -> bytes:
        # The first byte says how it is read: a case is bytes alone.
        return bytes([random_.randrange(len(_READERS))]) + super().case(random_)

    def check(self, data: bytes) -> str:
        mask_format, data = _READERS[data[0] % len(_READERS)] if data else 'ids', data[1:]
        try:
            found = masks.decode(data, 'mask', masks.MaskReader(_LABELS, mask_format), MAX_PIXELS)
        except rejects.RejectError as error:
            return error.reason
        _check_form(found, 2)
        if (stored := _stored(data)) is None:
            return UNVERIFIED
        wanted = _by_color(stored) if mask_format == 'color' else _as_ids(stored)
        if wanted is None:
            return UNVERIFIED
        if wanted.shape != found.shape or not np.array_equal(wanted, found):
            raise WrongError(f'accepted as {_outline(found)}, the file holds {_outline(wanted)}')
        return ACCEPTED


_READERS = ('ids', 'color')
_PLAIN: dict[bytes, Callable[[bytes], NDArray[np.integer] | None]] = {
    b'\x89P': plain_readers.png,
    b'BM': plain_readers.bmp,
    b'II': plain_readers.tiff,
    b'MM': plain_readers.tiff,
}


def _stored(data: bytes) -> NDArray[np.integer] | None:
    """What a mask file holds by the short readers; a packed TIFF of 8 bits by OpenCV."""
    reader = _PLAIN.get(data[:2])
    try:
        found = reader(data) if reader else None
    except Exception:  # the short readers raise anything for what they do not know
        return None
    if found is None and reader is plain_readers.tiff and plain_readers.is_packed_tiff(data):
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return found if found is None or found.ndim == 2 else found[..., 2::-1]
    return found


def _outline(array: NDArray[Any]) -> str:
    return f'{array.shape} with the values {np.unique(array)[:8].tolist()}'


def _as_ids(stored: NDArray[np.integer]) -> NDArray[np.integer] | None:
    if stored.ndim == 2:
        return stored
    return stored[..., 0] if stored.shape[2] in (2, 3, 4) else None


def _by_color(stored: NDArray[np.integer]) -> NDArray[np.integer] | None:
    """The classes of RGB pixels, one colour after the other; a colour of no class gives 254, which no mask may have."""
    if stored.ndim != 3 or stored.shape[2] < 3:
        return None  # a palette: which colours are in it, the short reader does not tell
    result = np.full(stored.shape[:2], 254)
    for number, color in enumerate(_LABELS.colors):
        result[(stored[..., :3] == color).all(axis=2)] = number
    return result


def _mask_seeds() -> list[bytes]:
    ids = bad_inputs.ids()
    ids[0] = 0
    two = (ids > 1).astype(np.uint8)
    colors = np.asarray(_LABELS.colors, np.uint8)[ids]
    rgba = np.dstack([colors, np.full_like(ids, 255)])
    palette = Image.fromarray(ids, 'P')
    palette.putpalette(np.asarray(_LABELS.colors, np.uint8).tobytes())
    found = [_palette(palette, kind, **options) for kind, options in _PALETTE_FILES]
    found += [_packed_png(ids, bits, kind) for bits in (2, 4, 8) for kind in (0, 3)]
    found += [_packed_png(two, 1, kind) for kind in (0, 3)]
    found += [
        _interlaced(ids),
        _with_opencv(ids.astype(np.uint16), '.png'),
        _with_pillow(colors, 'PNG'),
        _with_pillow(rgba, 'PNG'),
        _with_pillow(ids, 'BMP'),
        _with_pillow(two * 255, 'BMP', '1'),
        _with_pillow(colors, 'BMP'),
        _with_pillow(ids, 'TIFF'),
        _with_pillow(ids, 'TIFF', compression='tiff_lzw'),
        _with_pillow(ids, 'TIFF', compression='tiff_adobe_deflate'),
        _with_pillow(ids, 'TIFF', compression='packbits'),
        _with_pillow(two * 255, 'TIFF', '1'),
        _with_pillow(ids.astype(np.uint16), 'TIFF'),
        _with_pillow(colors, 'TIFF'),
        _with_opencv(ids, '.tif'),
    ]
    return found


_PALETTE_FILES: tuple[tuple[str, dict[str, Any]], ...] = (
    ('PNG', {}),
    ('PNG', {'bits': 4}),
    ('BMP', {}),
    ('TIFF', {}),
)


def _palette(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _packed_png(ids: NDArray[np.uint8], bits: int, color_type: int) -> bytes:
    """A grey or palette PNG of few bits, written by hand."""
    per_byte = 8 // bits
    padded = np.pad(ids & (2**bits - 1), ((0, 0), (0, -ids.shape[1] % per_byte)))
    parts = padded.reshape(len(ids), -1, per_byte).astype(np.int64) << np.arange(8 - bits, -1, -bits)
    rows = b''.join(b'\0' + row.astype(np.uint8).tobytes() for row in parts.sum(axis=2))
    header = struct.pack('>IIBBBBB', ids.shape[1], ids.shape[0], bits, color_type, 0, 0, 0)
    chunks = [(b'IHDR', header)]
    if color_type == 3:
        chunks.append((b'PLTE', np.asarray(_LABELS.colors[: 2**bits], np.uint8).tobytes()))
    chunks += [(b'IDAT', zlib.compress(rows)), (b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(bad_inputs.chunk(*part) for part in chunks)


class MatFiles(Target):
    """MATLAB files, packed and not; of the packed ones also the insides are changed."""

    name = 'mat'

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory)
        ids = bad_inputs.ids()
        ids[0] = 0
        self.seeds = tuple(
            _mat(is_packed, groundtruth=array, **others)
            for is_packed in (True, False)
            for array, others in (
                (ids, {}),
                (ids.astype(np.float64), {}),
                (ids.astype(np.uint16), {'note': 'text', 'other': np.eye(3)}),
                (ids.astype(np.int32), {'cell': np.array([[1, 'a']], object), 'struct': {'a': 1}}),
            )
        )

    def case(self, random_: random.Random) -> bytes:
        data = random_.choice(self.seeds)
        if struct.unpack_from('<I', data, 128)[0] == 15 and random_.random() < 0.6:
            size = struct.unpack_from('<I', data, 132)[0]
            inner = mutators.mutate(random_, zlib.decompress(data[136 : 136 + size]), self.seeds)
            packed = zlib.compress(inner)
            return data[:128] + struct.pack('<II', 15, len(packed)) + packed + data[136 + size :]
        return mutators.mutate(random_, data, self.seeds)

    def check(self, data: bytes) -> str:
        try:
            found = masks.decode(data, 'mask', masks.MaskReader(_LABELS, 'ids'), MAX_PIXELS)
        except rejects.RejectError as error:
            return error.reason
        _check_form(found, 2)
        try:
            stored = plain_readers.mat(data)
        except Exception:  # the short reader raises anything for what it does not know
            stored = None
        if stored is None:
            return UNVERIFIED
        if not np.array_equal(stored, found):
            raise WrongError(f'accepted as {_outline(found)}, the file holds {_outline(stored)}')
        return ACCEPTED


def _mat(is_packed: bool, **arrays: Any) -> bytes:
    from scipy import io as scipy_io

    file = io.BytesIO()
    scipy_io.savemat(file, arrays, do_compression=is_packed)
    # Its header has the time of writing: a case must be the same in every run.
    return b'MATLAB 5.0 MAT-file'.ljust(116) + file.getvalue()[116:]
