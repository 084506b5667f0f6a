"""All known kinds of bad input, made by code: one pair of files each, and the reason code that it must get.

Each kind has a function that writes its files into a folder with `images` and `masks`, under the name that it is given.
There are also unusual kinds that must be accepted. `python -m tests.bad_inputs` writes docs/reject_corpus.md, the table
of all kinds with their messages.
"""

import dataclasses
import functools
import io
import os
import pathlib
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from PIL import Image

from seg_pipeline import errors
from seg_pipeline.building import pair as pair_lib
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.imaging import formats, rejects
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.planning import pairing

SIZE = (24, 30)  # (height, width) of every good image and mask
LABELS = LabelMap(('background', 'skin', 'hair', 'coat'), ((0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 200)))
MAX_PIXELS = 1_000_000

_TABLE = pathlib.Path(__file__).parents[1] / 'docs' / 'reject_corpus.md'


@dataclasses.dataclass(frozen=True)
class Folder:
    """Where a kind writes its files, and their name without the suffix."""

    root: pathlib.Path
    name: str

    def image(self, data: bytes | None = None, suffix: str = '.png') -> pathlib.Path:
        """Writes the image, a good one if no bytes are given."""
        return self._write('images', image_png() if data is None else data, suffix)

    def mask(self, data: bytes | None = None, suffix: str = '.png') -> pathlib.Path:
        """Writes the mask, a good one if no bytes are given."""
        return self._write('masks', png(ids()) if data is None else data, suffix)

    def path(self, tree: str, suffix: str = '.png') -> pathlib.Path:
        return self.root / tree / (self.name + suffix)

    def _write(self, tree: str, data: bytes, suffix: str) -> pathlib.Path:
        path = self.path(tree, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        name: what it is; also the name of its files.
        reasons: the codes of its rejects; none if it is good.
        says: what the message of the first must contain, besides the file's name.
        write: writes its files.
    """

    name: str
    reasons: tuple[str, ...]
    says: str
    write: Callable[[Folder], object]


# Arrays and files.


def gradient() -> np.ndarray:
    """(H, W, 3) uint8 RGB: a gradient, of which lossy compression keeps most."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([rows * 8, columns * 6, (rows + columns) * 4], axis=-1).astype(np.uint8)


def ids() -> np.ndarray:
    """(H, W) uint8: all four classes and ignored pixels."""
    mask = np.zeros(SIZE, np.uint8)
    mask[2:12, 3:20], mask[8:20, 10:16], mask[15:22, 2:8], mask[0] = 1, 2, 3, 255
    return mask


def saved(array: np.ndarray, kind: str, mode: str | None = None, **options: object) -> bytes:
    """An array as a file, by Pillow."""
    file = io.BytesIO()
    Image.fromarray(array, mode).save(file, kind, **options)
    return file.getvalue()


def image_png() -> bytes:
    return saved(gradient(), 'PNG')


def png(array: np.ndarray) -> bytes:
    """(H, W), (H, W, 3) RGB or (H, W, 4) RGBA of 8 or 16 bits as PNG."""
    if array.ndim == 3:
        array = cv2.cvtColor(array, cv2.COLOR_RGB2BGR if array.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    return cv2.imencode('.png', array)[1].tobytes()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def raw_png(color_type: int, rows: bytes, *extra: bytes, width: int = SIZE[1]) -> bytes:
    """A PNG of 8 bits written by hand: `rows` with a filter byte each, `extra` chunks before the pixels."""
    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, SIZE[0], 8, color_type, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + header + b''.join(extra) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def grey_rows(mask: np.ndarray) -> bytes:
    """The scanlines of a grey mask for `raw_png`."""
    return b''.join(b'\0' + row.astype('>u2' if mask.dtype == np.uint16 else 'u1').tobytes() for row in mask)


def with_chunks(data: bytes, extra: bytes) -> bytes:
    """A PNG with more chunks behind its header."""
    return data[:33] + extra + data[33:]


@functools.cache
def bomb() -> bytes:
    """A valid PNG of 30000 x 30000 pixels in about a megabyte."""
    part = bytes(100 * 30001)  # a hundred rows with their filter bytes; compressed once, repeated
    # A deflate stream of one part, ended by a full flush, can be repeated: no part refers to an earlier one.
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(part) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 1
    for _ in range(300):
        checksum = zlib.adler32(part, checksum)
    body = b'\x78\xda' + packed * 300 + b'\x03\0' + checksum.to_bytes(4, 'big')
    header = chunk(b'IHDR', struct.pack('>IIBBBBB', 30000, 30000, 8, 0, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + header + chunk(b'IDAT', body) + chunk(b'IEND', b'')


def mat(**arrays: object) -> bytes:
    from scipy import io as scipy_io

    file = io.BytesIO()
    scipy_io.savemat(file, arrays, do_compression=True)
    return file.getvalue()


def boundaries(data: bytes, kind: str) -> list[int]:
    """The offsets at which the parts of a PNG, JPEG or WebP file begin, but for the first."""
    if kind == 'JPEG':
        position, found = 2, []
        while data[position + 1] != 0xDA:
            found.append(position)
            position += 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
        return [*found, position, len(data) - 2]
    position, order, overhead = (8, 'big', 12) if kind == 'PNG' else (12, 'little', 8)
    found = []
    while position < len(data):
        found.append(position)
        at = position if kind == 'PNG' else position + 4
        length = int.from_bytes(data[at : at + 4], order)
        position += overhead + length + (length % 2 if kind == 'WEBP' else 0)
    return found


# Kinds.


def _image(name: str, reason: str, says: str, data: Callable[[], bytes], suffix: str = '.png') -> Kind:
    """A bad image beside a good mask."""

    def write(folder: Folder) -> None:
        folder.image(data(), suffix)
        folder.mask()

    return Kind(name, (reason,), says, write)


def _mask(name: str, reason: str, says: str, data: Callable[[], bytes], suffix: str = '.png') -> Kind:
    """A bad mask beside a good image."""

    def write(folder: Folder) -> None:
        folder.image()
        folder.mask(data(), suffix)

    return Kind(name, (reason,), says, write)


def _good(name: str, write: Callable[[Folder], object]) -> Kind:
    return Kind(name, (), '', write)


def _good_image(name: str, data: Callable[[], bytes], suffix: str = '.png') -> Kind:
    return _good(name, _image(name, '', '', data, suffix).write)


def _good_mask(name: str, data: Callable[[], bytes], suffix: str = '.png') -> Kind:
    return _good(name, _mask(name, '', '', data, suffix).write)


def _truncated() -> Iterator[Kind]:
    """A file of each format, cut at each boundary of its parts."""
    for kind, suffix in (('PNG', '.png'), ('JPEG', '.jpg'), ('WEBP', '.webp')):
        options = {'exif': Image.Exif()} if kind == 'WEBP' else {}
        data = saved(gradient(), kind, **options)
        for cut in boundaries(data, kind):
            # The magic of a JPEG has three bytes.
            reason = rejects.UNKNOWN_FORMAT if cut < 3 else rejects.DAMAGED
            yield _image(f'{kind} cut at byte {cut}', reason, '', lambda data=data, cut=cut: data[:cut], suffix)
    for cut in boundaries(png(ids()), 'PNG'):
        yield _mask(f'PNG mask cut at byte {cut}', rejects.DAMAGED, f'in {cut} bytes', lambda cut=cut: png(ids())[:cut])
    for kind, suffix in (('TIFF', '.tif'), ('BMP', '.bmp')):
        data = saved(gradient(), kind)
        yield _image(f'{kind} cut in half', rejects.DAMAGED, '', lambda data=data: data[: len(data) // 2], suffix)


def _altered(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def _bad_files() -> Iterator[Kind]:
    yield _image('image of zero bytes', rejects.EMPTY_FILE, '0 bytes', lambda: b'')
    yield _mask('mask of zero bytes', rejects.EMPTY_FILE, '0 bytes', lambda: b'')
    yield _image('text named png', rejects.UNKNOWN_FORMAT, "b'hello, w'", lambda: b'hello, world\n' * 9)
    yield _image('a GIF', rejects.UNKNOWN_FORMAT, "b'GIF8", lambda: saved(gradient()[..., 0], 'GIF'))
    yield _mask('HTML of an error page', rejects.UNKNOWN_FORMAT, "b'<!DOCTYP", lambda: b'<!DOCTYPE html><p>404')
    yield _image('zeros', rejects.UNKNOWN_FORMAT, 'x00', lambda: bytes(5000))
    yield _image('a magic and nothing else', rejects.DAMAGED, '', lambda: b'\x89PNG\r\n\x1a\n')
    yield _image('PNG with a flipped bit', rejects.DAMAGED, 'checksum', lambda: _altered(image_png(), 60))
    yield _mask('PNG mask with a flipped bit', rejects.DAMAGED, 'checksum', lambda: _altered(png(ids()), 45))
    short = grey_rows(ids())[: -31 * 9]
    yield _mask('PNG mask with rows missing', rejects.DAMAGED, 'decoded', lambda: raw_png(0, short))
    plte = chunk(b'PLTE', bytes(768))
    yield _mask('palette mask with rows missing', rejects.DAMAGED, '', lambda: raw_png(3, short, plte))
    no_pixels = image_png()[:33] + chunk(b'IEND', b'')
    yield _image('PNG without pixels', rejects.DAMAGED, '', lambda: no_pixels)
    yield _image('PNG of width 0', rejects.DAMAGED, '', lambda: raw_png(0, b'\0' * 24, width=0))
    yield _image('bomb of 30000x30000', rejects.TOO_LARGE, '30000x30000', bomb)
    yield _mask('mask bomb of 30000x30000', rejects.TOO_LARGE, '30000x30000', bomb)
    yield _image(
        'image above max_pixels', rejects.TOO_LARGE, '1001x1000', lambda: png(np.zeros((1000, 1001), np.uint8))
    )
    yield _image('animated PNG', rejects.SEVERAL_IMAGES, '2 images', lambda: _frames('PNG'))
    yield _image('animated WebP', rejects.SEVERAL_IMAGES, '2 images', lambda: _frames('WEBP'), '.webp')
    yield _mask('TIFF of two pages', rejects.SEVERAL_IMAGES, '2 images', lambda: _frames('TIFF'), '.tif')
    yield _image('TIFF with strips missing', rejects.DAMAGED, '1 strip, its 24 rows need 3', _without_strips, '.tif')
    yield _mask('TIFF mask with strips missing', rejects.DAMAGED, '1 strip', lambda: _without_strips(ids()), '.tif')
    yield _image('TIFF with a tag twice', rejects.DAMAGED, 'there twice', lambda: _without_strips(tag=257), '.tif')
    says = 'tags are not in ascending order'
    yield _image('TIFF with tags in disorder', rejects.DAMAGED, says, lambda: _without_strips(tag=999), '.tif')
    says = 'tag 320 has the type 3 and 770 values, wanted 768'
    yield _image('TIFF with a palette too long', rejects.DAMAGED, says, _with_long_palette, '.tif')
    says = '1 EXIF orientations of type 4, count 1'
    for kind, suffix in (('JPEG', '.jpg'), ('PNG', '.png'), ('WEBP', '.webp')):
        name = f'{kind} with a damaged orientation'
        yield _image(name, rejects.DAMAGED, says, lambda kind=kind: _with_bad_orientation(kind), suffix)
    says = 'begin at byte 0, its header and palette end at 54'
    bmp = saved(gradient(), 'BMP')
    yield _image('BMP with pixels at its start', rejects.DAMAGED, says, lambda: bmp[:10] + bytes(4) + bmp[14:], '.bmp')
    fractions = np.full(SIZE, 0.5, np.float32)
    yield _image('TIFF of fractions', rejects.UNKNOWN_FORMAT, 'type F', lambda: saved(fractions, 'TIFF'), '.tif')
    yield _image('MATLAB file named png', rejects.UNKNOWN_FORMAT, 'MATLAB', lambda: mat(groundtruth=ids()))


def _without_strips(array: np.ndarray | None = None, tag: int = 278) -> bytes:
    """A TIFF of one strip of 24 rows, whose tag RowsPerStrip says 8; or is another tag, which is there already."""
    data = saved(gradient() if array is None else array, 'TIFF')
    at = data.index(struct.pack('<HHI', 278, 4, 1))
    return data[:at] + struct.pack('<HHII', tag, 4, 1, 8) + data[at + 12 :]


def _with_long_palette() -> bytes:
    """A TIFF whose tag ColorMap claims two numbers more than 256 colours have."""
    data = saved(gradient()[..., 0], 'TIFF', 'P')
    at = data.index(struct.pack('<HHI', 320, 3, 768))
    return data[:at] + struct.pack('<HHI', 320, 3, 770) + data[at + 8 :]


def _with_bad_orientation(kind: str) -> bytes:
    """A picture whose orientation is a number of 32 bits: some readers turn it, and others do not."""
    exif = b'MM\0*' + struct.pack('>IHHHIHHI', 8, 1, 0x0112, 4, 1, 6, 0, 0)
    return saved(gradient(), kind, exif=exif if kind == 'WEBP' else b'Exif\0\0' + exif)


def _frames(kind: str) -> bytes:
    others = [Image.fromarray(255 - gradient())]
    return saved(gradient(), kind, save_all=True, append_images=others)


def _unreadable_files() -> Iterator[Kind]:
    def pipe(folder: Folder) -> None:
        folder.mask()
        folder.path('images').parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(folder.path('images'))

    def huge(folder: Folder) -> None:
        folder.mask()
        with folder.image(b'\x89PNG\r\n\x1a\n').open('r+b') as file:
            file.truncate(1 << 40)  # takes no room on the disk

    def directory(folder: Folder) -> None:
        folder.image()
        folder.path('masks').mkdir(parents=True)

    yield Kind('broken link', (rejects.UNREADABLE,), 'No such file', _link('missing.png'))
    yield Kind('link to itself', (rejects.UNREADABLE,), 'symbolic links', _link('link to itself.png'))
    yield Kind('link to a device', (rejects.UNREADABLE,), 'not a regular file', _link('/dev/zero'))
    yield Kind('a pipe', (rejects.UNREADABLE,), 'not a regular file', pipe)
    yield Kind('file of a terabyte', (rejects.TOO_LARGE,), '1099511627776 bytes', huge)
    yield Kind('directory in the place of a mask', (rejects.NO_MASK,), 'no mask has its key', directory)


def _link(target: str) -> Callable[[Folder], None]:
    def write(folder: Folder) -> None:
        folder.image()
        path = folder.path('masks')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    return write


def _bad_masks() -> Iterator[Kind]:
    yield _mask('JPEG mask', rejects.LOSSY_MASK, 'PNG originals', lambda: saved(ids(), 'JPEG'), '.jpg')
    yield _mask('WebP mask', rejects.LOSSY_MASK, 'PNG originals', lambda: saved(gradient(), 'WEBP'), '.webp')
    yield _mask('mask one row short', rejects.SIZE_MISMATCH, '23x30', lambda: png(ids()[1:]))
    yield _mask('transposed mask', rejects.SIZE_MISMATCH, '30x24', lambda: png(np.ascontiguousarray(ids().T)))
    yield _mask('id outside of the table', rejects.UNKNOWN_ID, 'id 4 at row 5, column 6', lambda: png(_with(4)))
    yield _mask('id outside of the table, 16 bits', rejects.UNKNOWN_ID, 'id 999', lambda: png(_with(999, np.uint16)))
    yield _mask('id that 8 bits cut to a known one', rejects.UNKNOWN_ID, 'id 257', lambda: png(_with(257, np.uint16)))
    signed = _with(-1, np.int32)
    yield _mask('negative id', rejects.UNKNOWN_ID, 'id -1', lambda: saved(signed, 'TIFF'), '.tif')
    fractions = np.full(SIZE, 0.5, np.float32)
    yield _mask(
        'mask of fractions', rejects.UNSUPPORTED_MASK, 'floating point', lambda: saved(fractions, 'TIFF'), '.tif'
    )
    yield _mask(
        'mask with only the ignored id', rejects.ALL_IGNORED, '720 pixels', lambda: png(np.full(SIZE, 255, np.uint8))
    )
    yield _mask('transparent mask', rejects.UNSUPPORTED_MASK, 'alpha down to 0', lambda: png(_painted(alpha=0)))
    says = 'is in no class; every pixel is grey: --mask_format=ids'
    yield _mask('ids as equal channels', rejects.UNKNOWN_COLOR, says, lambda: png(np.dstack([ids()] * 3)))
    deep = gradient().astype(np.uint16) * 257
    yield _mask('colours of 16 bits', rejects.UNSUPPORTED_MASK, '16 bits', lambda: png(deep))
    yield _mask(
        'colour outside of the table', rejects.UNKNOWN_COLOR, '#010203 at row 5, column 6', lambda: png(_stained())
    )
    smooth = cv2.resize(_painted()[..., :3], SIZE[::-1], interpolation=cv2.INTER_LINEAR)
    blurred = cv2.GaussianBlur(smooth, (3, 3), 0)
    yield _mask('colours that were smoothed', rejects.UNKNOWN_COLOR, 'is in no class', lambda: png(blurred))
    exif = Image.Exif()
    exif[0x0112] = 6
    yield _mask(
        'mask turned by EXIF', rejects.UNSUPPORTED_MASK, 'orientation 6', lambda: saved(ids(), 'PNG', exif=exif)
    )
    yield _mask(
        'MATLAB without groundtruth', rejects.UNSUPPORTED_MASK, 'it holds labels', lambda: mat(labels=ids()), '.mat'
    )
    yield _mask(
        'MATLAB of fractions', rejects.UNSUPPORTED_MASK, 'fractional', lambda: mat(groundtruth=ids() + 0.5), '.mat'
    )
    missing = np.where(ids() == 255, np.nan, ids())
    yield _mask('MATLAB with NaN', rejects.UNSUPPORTED_MASK, 'fractional', lambda: mat(groundtruth=missing), '.mat')
    yield _mask('MATLAB of text', rejects.UNSUPPORTED_MASK, 'no two-dim', lambda: mat(groundtruth='hair'), '.mat')
    planes = np.zeros((2, *SIZE), np.uint8)
    yield _mask(
        'MATLAB of three dimensions', rejects.UNSUPPORTED_MASK, 'no two-dim', lambda: mat(groundtruth=planes), '.mat'
    )
    large = np.zeros((2000, 1000), np.uint8)
    yield _mask('MATLAB bomb', rejects.TOO_LARGE, '(2000, 1000)', lambda: mat(groundtruth=large), '.mat')
    yield _mask('MATLAB cut in half', rejects.DAMAGED, 'MATLAB', lambda: mat(groundtruth=ids())[:200], '.mat')

    def the_image(folder: Folder) -> None:
        folder.mask(folder.image().read_bytes())

    def link_to_image(folder: Folder) -> None:
        image = folder.image(saved(gradient(), 'JPEG'), '.jpg')
        folder.mask()
        folder.path('masks').unlink()
        folder.path('masks', '.jpg').symlink_to(image.resolve())

    yield Kind('mask that is the image', (rejects.SAME_FILE,), 'byte for byte', the_image)
    yield Kind('mask that links to the image', (rejects.SAME_FILE,), 'byte for byte', link_to_image)


def _bad_palettes() -> Iterator[Kind]:
    palette = chunk(b'PLTE', bytes(9))
    rows = grey_rows(_with(9))
    says = 'index 3 at row 15, column 2: the palette of 3 has no such colour; --mask_format=ids'
    yield _mask('palette index without a colour', rejects.PALETTE_MISMATCH, says, lambda: raw_png(3, rows, palette))
    ramp = chunk(b'PLTE', np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    says = 'index 1 at row 2, column 3: colour #010101 is in no class; --mask_format=ids'
    yield _mask('palette of greys', rejects.PALETTE_MISMATCH, says, lambda: raw_png(3, grey_rows(ids()), ramp))
    black = chunk(b'PLTE', bytes(768))
    says = 'palette indices 0 and 1 have one colour, that of class 0'
    yield _mask('palette of one colour', rejects.PALETTE_MISMATCH, says, lambda: raw_png(3, grey_rows(ids()), black))


def _bad_tiff_masks() -> Iterator[Kind]:
    jpeg = functools.partial(saved, ids(), 'TIFF', compression='jpeg')
    yield _mask('TIFF with JPEG inside', rejects.LOSSY_MASK, 'a TIFF with JPEG inside', jpeg, '.tif')
    yield _mask('TIFF of CMYK', rejects.UNSUPPORTED_MASK, 'CMYK', lambda: saved(_painted(), 'TIFF', 'CMYK'), '.tif')
    white = functools.partial(saved, ids(), 'TIFF', tiffinfo={262: 0})
    yield _mask('TIFF with white as 0', rejects.UNSUPPORTED_MASK, 'min-is-white', white, '.tif')


def _with(value: int, dtype: type = np.uint8) -> np.ndarray:
    """The good mask with one other value."""
    mask = ids().astype(dtype)
    mask[5, 6] = value
    return mask


def _painted(alpha: int = 255) -> np.ndarray:
    """The good mask in the colours of the table, RGBA; `alpha` in one corner. Nothing is ignored."""
    mask = np.where(ids() == 255, 0, ids())
    result = np.dstack([np.array(LABELS.colors, np.uint8)[mask], np.full(SIZE, 255, np.uint8)])
    result[-1, -1, 3] = alpha
    return result


def _stained() -> np.ndarray:
    painted = np.ascontiguousarray(_painted()[..., :3])
    painted[5, 6] = 1, 2, 3
    return painted


def _bad_pairs() -> Iterator[Kind]:
    def two_images(folder: Folder) -> None:
        folder.image()
        folder.image(saved(gradient(), 'JPEG'), '.jpg')
        folder.mask()

    def two_masks(folder: Folder) -> None:
        folder.image()
        folder.mask()
        folder.mask(mat(groundtruth=ids()), '.mat')

    def not_utf8(folder: Folder) -> None:
        for tree, data in (('images', image_png()), ('masks', png(ids()))):
            (folder.root / tree).mkdir(parents=True, exist_ok=True)
            with open(os.path.join(os.fsencode(folder.root / tree), b'caf\xe9 in Latin-1.png'), 'wb') as file:
                file.write(data)

    yield Kind('image without a mask', (rejects.NO_MASK,), 'no mask has its key', Folder.image)
    yield Kind('mask without an image', (rejects.NO_IMAGE,), 'no image has its key', Folder.mask)
    yield Kind('two images of one key', (rejects.DUPLICATE_KEY,), '2 images have the key', two_images)
    yield Kind('two masks of one key', (rejects.DUPLICATE_KEY,), '2 masks have the key', two_masks)
    names = (rejects.UNUSABLE_NAME,) * 2
    yield Kind('name that is not UTF-8', names, 'not UTF-8', not_utf8)
    yield _mask('bad mask\nwith a line break in its name', rejects.EMPTY_FILE, '\\nwith', lambda: b'')


def bad() -> list[Kind]:
    """The kinds that are rejected."""
    return [
        *_truncated(),
        *_bad_files(),
        *_unreadable_files(),
        *_bad_masks(),
        *_bad_palettes(),
        *_bad_tiff_masks(),
        *_bad_pairs(),
    ]


def good() -> list[Kind]:
    """Unusual kinds that are accepted."""
    gamma = chunk(b'gAMA', struct.pack('>I', 22727)) + chunk(b'sRGB', b'\0')
    profile = chunk(b'iCCP', b'any\0\0' + zlib.compress(bytes(200)))
    key = chunk(b'tRNS', b'\0\1')
    colors = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    colors[: LABELS.num_classes] = LABELS.colors
    palette = chunk(b'PLTE', colors.tobytes()) + chunk(b'tRNS', b'\0\x80')
    rows = grey_rows(ids())
    kinds = [_good(name, _plain) for name in ('plain', 'name with spaces', '名前 🧥', 'line\nbreak', "quo'te", '-rf *')]
    kinds += [
        _good_image('progressive JPEG', lambda: saved(gradient(), 'JPEG', quality=95, progressive=True), '.jpg'),
        _good_image('interlaced PNG', lambda: _interlaced(gradient())),
        _good_image('JPEG with bytes behind its end', lambda: saved(gradient(), 'JPEG') + bytes(99), '.jpeg'),
        _good_image('upper-case suffix', image_png, '.PNG'),
        _good_image('JPEG named png', lambda: saved(gradient(), 'JPEG')),
        _good_image('phone JPEG with a preview', _phone_jpeg, '.jpg'),
        _good_mask('mask with gamma', lambda: with_chunks(png(ids()), gamma)),
        _good_mask('mask with a colour profile', lambda: with_chunks(png(ids()), profile)),
        _good_mask('mask with a transparent grey', lambda: with_chunks(png(ids()), key)),
        _good_mask('palette mask with gamma', lambda: raw_png(3, rows, gamma + palette)),
        _good_mask('16 bits', lambda: png(ids().astype(np.uint16))),
        _good_mask('interlaced mask', lambda: _interlaced(ids())),
        _good_mask('mask as TIFF', lambda: saved(ids(), 'TIFF'), '.tif'),
        _good_mask('mask as BMP', lambda: saved(ids(), 'BMP'), '.bmp'),
        _good_mask('mask as MATLAB', lambda: mat(groundtruth=ids().astype(float)), '.mat'),
        _good_mask('opaque alpha', lambda: saved(np.dstack([ids(), np.full(SIZE, 255, np.uint8)]), 'PNG', 'LA')),
    ]
    return [*kinds, _good('directory that links to itself', _looped)]


def _looped(folder: Folder) -> None:
    inner = dataclasses.replace(folder, name=f'{folder.name}/inner')
    _plain(inner)
    for tree in ('images', 'masks'):
        (folder.root / tree / folder.name / 'again').symlink_to('.')


def _plain(folder: Folder) -> None:
    folder.image()
    folder.mask()


def _interlaced(array: np.ndarray) -> bytes:
    """A PNG in the seven passes of Adam7, written by hand: Pillow and OpenCV cannot write such files."""
    height, width = array.shape[:2]
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = b''.join(
        b'\0' + row.tobytes()
        for top, left, down, right in passes
        for row in array[top::down, left::right]
        if array[top::down, left::right].size
    )
    header = struct.pack('>IIBBBBB', width, height, 8, 0 if array.ndim == 2 else 2, 0, 0, 1)
    body = chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + body


def _phone_jpeg() -> bytes:
    """What phones write: an image and a smaller copy of it in one file (MPO)."""
    file = io.BytesIO()
    first = Image.fromarray(gradient())
    first.save(file, 'MPO', save_all=True, append_images=[first.resize((10, 8))], quality=95)
    return file.getvalue()


# All of them at once, and the table.


def write(kinds: list[Kind], root: str | os.PathLike[str]) -> None:
    """Writes the files of all kinds into `root`/images and `root`/masks, and the label table."""
    for kind in kinds:
        kind.write(Folder(pathlib.Path(root), kind.name.replace('/', '_')))
    lines = [
        '{},{},#{:02x}{:02x}{:02x}'.format(i, n, *c)
        for i, (n, c) in enumerate(zip(LABELS.names, LABELS.colors, strict=True))
    ]
    (pathlib.Path(root) / 'labels.csv').write_text('\n'.join(['id,name,color', *lines]) + '\n')


def config(root: str | os.PathLike[str]) -> BuildConfig:
    """The configuration of what `write` wrote."""
    sources = SourceFolders(os.path.join(root, 'images'), os.path.join(root, 'masks'))
    return BuildConfig(sources, os.path.join(root, 'out'), RecordOptions(LABELS, max_pixels=MAX_PIXELS))


def check(root: str | os.PathLike[str]) -> tuple[list[pairing.SourcePair], list[rejects.Reject]]:
    """Pairs the files and reads every pair: the pairs that were read, and the rejects."""
    what = config(root)
    for tree in (what.sources.images, what.sources.masks):
        os.makedirs(tree, exist_ok=True)
    files = pairing.list_files(what.sources.images), pairing.list_files(what.sources.masks, formats.MASK_SUFFIXES)
    found = pairing.match_pairs(*files, r'(?s)^(.*)\.', r'(?s)^(.*)\.')
    passed, rejected = [], list(found.rejects)
    for pair in found.pairs:
        try:
            pair_lib.read(what.sources, what.records, pair)
            passed.append(pair)
        except rejects.RejectError as error:
            rejected.append(error.of(pair.key, pair.image, pair.mask))
    return passed, rejected


def table() -> str:
    """The text of docs/reject_corpus.md."""
    lines = [
        '# Rejected inputs and their messages',
        '',
        'Made by `python -m tests.bad_inputs`: every kind of bad input of `tests/bad_inputs.py`, with the reason code',
        'and the message that it gets. `tests/seg_pipeline/imaging/rejects_test.py` checks each of them.',
        '',
        f'{len(bad())} kinds of bad input:',
        '',
        '| kind | reason | message |',
        '|---|---|---|',
    ]
    for kind in bad():
        with tempfile.TemporaryDirectory() as root:
            write([kind], root)
            _, rejected = check(root)
            for reject in rejected:
                message = reject.message.replace('|', '\\|').replace('<', '&lt;')
                lines.append(f'| {errors.one_line(kind.name)} | `{reject.reason}` | {message} |')
    lines += ['', f'{len(good())} unusual kinds that are accepted:', '']
    lines += [f'- {errors.one_line(kind.name)}' for kind in good()]
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    _TABLE.write_text(table(), encoding='utf-8')
    print(f'{len(bad())} kinds of bad input, {len(good())} of good: {_TABLE}', file=sys.stderr)
