"""Mask files of every format, depth and type of pixels, and how each is read.

PNG, BMP and TIFF are written by hand (`tests/mask_files.py`) and shown to a library that the product does not use for
them, which must see the picture that was meant. `python -m tests.mask_conformance` writes docs/mask_conformance.md, the
table of how they are read.
"""

import dataclasses
import functools
import io
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import cv2
import numpy as np
from PIL import Image

from seg_pipeline.imaging import masks, rejects
from seg_pipeline.labels.label_map import LabelMap
from tests import mask_files
from tests.attack import plain_readers

SIZE = (24, 30)  # (height, width)
_TABLE = pathlib.Path(__file__).parents[1] / 'docs' / 'mask_conformance.md'
_COMPRESSIONS = {
    'none': mask_files.NONE,
    'LZW': mask_files.LZW,
    'deflate': mask_files.DEFLATE,
    'old deflate': mask_files.OLD_DEFLATE,
    'PackBits': mask_files.PACK_BITS,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table: a kind of file, in one or several forms that must be read alike.

    Attributes:
        kind: its format.
        pixels: what the file stores.
        ids: (H, W) the classes that the mask shows.
        stored: (H, W) the values in the file: grey, or indices; None for RGB.
        shown: (H, W, 3) uint8 RGB, how a viewer shows the file; None where no second library reads it.
        labels: the classes; their colours are those of the table with colours.
        files: the forms, by what is different in them.
    """

    kind: str
    pixels: str
    ids: np.ndarray
    stored: np.ndarray | None
    shown: np.ndarray | None
    labels: LabelMap
    files: Mapping[str, bytes]

    @property
    def name(self) -> str:
        return f'{self.kind}, {self.pixels}'


# What the masks show.


@functools.cache
def labels(num_classes: int) -> LabelMap:
    """A table of random colours, no two equal and none of them grey."""
    random = np.random.default_rng(num_classes)
    channels = [random.permutation(250)[:num_classes] for _ in range(3)]
    colors = [(int(r), int(g), 255 if r == g else int(b)) for r, g, b in zip(*channels, strict=True)]
    return LabelMap(tuple(f'class {i}' for i in range(num_classes)), tuple(colors))


def ids(num_classes: int) -> np.ndarray:
    """(H, W) each class at least once."""
    random = np.random.default_rng(7)
    found = random.integers(0, num_classes, SIZE)
    found.ravel()[random.permutation(found.size)[:num_classes]] = np.arange(num_classes)
    return found


def _classes(bits: int) -> int:
    return min(2**bits, 200)


# The cases.


def _grey(kind: str, bits: int, write: Callable[[np.ndarray], Mapping[str, bytes]]) -> Case:
    mask = ids(_classes(bits))
    greys = np.repeat((mask * (255 // (2**bits - 1)) if bits <= 8 else mask)[..., None], 3, axis=2)
    shown = None if bits > 8 else greys.astype(np.uint8)
    return Case(kind, f'grey, {bits} bit', mask, mask, shown, labels(_classes(bits)), write(mask))


def _palettes(kind: str, bits: int, write: Callable[[np.ndarray, np.ndarray], Mapping[str, bytes]]) -> Iterator[Case]:
    """A palette with the colours of the table in its order, in another order, and one of other colours."""
    table = labels(_classes(bits))
    mask, colors = ids(table.num_classes), np.array(table.colors, np.uint8)
    shown = colors[mask]
    yield Case(kind, f'palette of the table, {bits} bit', mask, mask, shown, table, write(mask, colors))
    order = np.roll(np.arange(table.num_classes), 1)
    stored = np.argsort(order)[mask]
    yield Case(kind, f'palette in another order, {bits} bit', mask, stored, shown, table, write(stored, colors[order]))
    other = colors ^ 1
    yield Case(kind, f'palette of other colours, {bits} bit', mask, mask, other[mask], table, write(mask, other))


def _png_cases() -> Iterator[Case]:
    for bits in (1, 2, 4, 8, 16):
        yield _grey('PNG', bits, functools.partial(_pngs, bits=bits))
    for bits in (1, 2, 4, 8):
        yield from _palettes('PNG', bits, lambda mask, colors, bits=bits: _pngs(mask, bits, 3, palette=colors))
    yield from _rgb('PNG', lambda pixels: _pngs(pixels, 8, 2))
    opaque = np.full(SIZE, 255)
    yield _with(_grey('PNG', 8, lambda mask: _pngs(np.dstack([mask, opaque]), 8, 4)), 'grey and opaque alpha, 8 bit')
    yield _with(_grey('PNG', 16, lambda mask: _pngs(np.dstack([mask, opaque]), 16, 4)), 'grey and alpha, 16 bit')
    table = labels(200)
    painted = np.array(table.colors)[ids(200)]
    rgba = _pngs(np.dstack([painted, opaque]), 8, 6)
    yield Case('PNG', 'RGB and opaque alpha, 8 bit', ids(200), None, painted.astype(np.uint8), table, rgba)
    clear = _pngs(np.dstack([painted, opaque - 1]), 8, 6)
    yield Case('PNG', 'RGB and transparent pixels, 8 bit', ids(200), None, painted.astype(np.uint8), table, clear)
    yield Case('PNG', 'RGB, 16 bit', ids(200), None, None, table, _pngs(painted * 257, 16, 2))


def _pngs(values: np.ndarray, bits: int, color_type: int = 0, **options: object) -> dict[str, bytes]:
    return {
        'not interlaced': mask_files.png(values, bits, color_type, **options),
        'interlaced': mask_files.png(values, bits, color_type, is_interlaced=True, **options),
    }


def _with(case: Case, pixels: str) -> Case:
    return dataclasses.replace(case, pixels=pixels)


def _rgb(kind: str, write: Callable[[np.ndarray], Mapping[str, bytes]]) -> Iterator[Case]:
    table = labels(200)
    mask = ids(200)
    painted = np.array(table.colors, np.uint8)[mask]
    yield Case(kind, 'RGB in the colours of the table, 8 bit', mask, None, painted, table, write(painted))
    equal = np.dstack([mask] * 3).astype(np.uint8)
    yield Case(kind, 'RGB of equal channels, the ids, 8 bit', mask, mask, equal, table, write(equal))
    stained = painted ^ 1
    yield Case(kind, 'RGB in other colours, 8 bit', mask, None, stained, table, write(stained))


def _bmp_cases() -> Iterator[Case]:
    for bits in (1, 4, 8):
        ramp = np.repeat(np.linspace(0, 255, 2**bits).astype(np.uint8)[:, None], 3, axis=1)
        yield _grey('BMP', bits, lambda mask, bits=bits, ramp=ramp: _bmps(mask, bits, ramp))
    two = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    mask = ids(2)
    files = _bmps(mask, 8, two, (40, 124))
    yield Case('BMP', 'black and white, 8 bit', mask, mask, two[mask], labels(2), files)
    for bits in (1, 4, 8):
        # The oldest header has no number of colours: there are as many as indices.
        yield from _palettes('BMP', bits, lambda mask, colors, bits=bits: _bmps(mask, bits, _full(colors, bits)))
    yield from _rgb('BMP', lambda pixels: _bmps(pixels[..., ::-1], 24, ()))
    table = labels(200)
    painted = np.array(table.colors, np.uint8)[ids(200)]
    unused = np.dstack([painted[..., ::-1], np.zeros(SIZE, np.uint8)])
    yield Case('BMP', 'RGB and an unused byte, 32 bit', ids(200), None, painted, table, _bmps(unused, 32, (), (40,)))
    half = np.zeros((*SIZE, 2), np.uint8)
    yield Case('BMP', 'RGB of 5 bits a channel, 16 bit', ids(200), None, None, table, _bmps(half, 16, (), (40,)))
    for name, compression, bits in (('RLE8', 1, 8), ('RLE4', 2, 4), ('JPEG', 4, 24)):
        data = mask_files.bmp(np.zeros(SIZE), bits, ((0, 0, 0),), compression=compression, pixels=b'\0\1')
        yield Case('BMP', f'compressed by {name}', ids(2), None, None, labels(2), {'': data})


def _full(colors: np.ndarray, bits: int) -> np.ndarray:
    return np.concatenate([colors, np.zeros((2**bits - len(colors), 3), np.uint8)])


def _bmps(
    values: np.ndarray, bits: int, palette: Sequence[Sequence[int]], headers: Sequence[int] = (12, 40, 108, 124)
) -> dict[str, bytes]:
    found = {f'header of {size} bytes': mask_files.bmp(values, bits, palette, header=size) for size in headers}
    found['rows from the top'] = mask_files.bmp(values, bits, palette, is_top_down=True)
    return found


def _tiff_cases() -> Iterator[Case]:
    for bits in (1, 2, 4, 8, 16):
        case = _grey('TIFF', bits, functools.partial(_tiffs, bits=bits))
        if bits == 1:
            case = dataclasses.replace(case, files={**case.files, **_ccitt(case.ids)})
        yield case
    for bits in (1, 2, 4, 8):
        yield from _palettes('TIFF', bits, lambda mask, colors, bits=bits: _tiffs(mask, bits, 3, palette=colors))
    yield from _rgb('TIFF', lambda pixels: _tiffs(pixels, 8, 2))
    yield from _rare_tiffs()
    yield from _refused_tiffs()


def _rare_tiffs() -> Iterator[Case]:
    table, mask = labels(200), ids(200)
    painted = np.array(table.colors)[mask]
    opaque = np.full(SIZE, 255)
    rgba = {
        f'alpha of type {extra}': mask_files.tiff(np.dstack([painted, opaque]), 8, 2, extra=(extra,))
        for extra in (1, 2)
    }
    yield Case('TIFF', 'RGB and opaque alpha, 8 bit', mask, None, painted.astype(np.uint8), table, rgba)
    clear = {'': mask_files.tiff(np.dstack([painted, opaque - 1]), 8, 2, extra=(2,))}
    yield Case('TIFF', 'RGB and transparent pixels, 8 bit', mask, None, None, table, clear)
    alpha = {'': mask_files.tiff(np.dstack([mask, opaque]), 8, 1, extra=(2,))}
    yield _with(_grey('TIFF', 8, lambda _: alpha), 'grey and opaque alpha, 8 bit')
    reverse = {
        f'{name}, reverse order of bits': mask_files.tiff(ids(16), 4, compression=number, fill_order=2)
        for name, number in _COMPRESSIONS.items()
    }
    yield _with(_grey('TIFF', 4, lambda _: reverse), 'grey, 4 bit, FillOrder 2')
    for bits in (8, 16, 32):
        signed = {'': mask_files.tiff(mask % 100, bits, sample_format=2)}
        yield Case('TIFF', f'grey, {bits} bit, signed', mask % 100, mask % 100, None, table, signed)
        negative = {'': mask_files.tiff(mask % 100 - 1, bits, sample_format=2)}
        yield Case('TIFF', f'grey, {bits} bit, signed, negative', mask % 100, None, None, table, negative)
    yield Case('TIFF', 'grey, 32 bit', mask, mask, None, table, {'': mask_files.tiff(mask, 32)})


def _refused_tiffs() -> Iterator[Case]:
    mask, table = ids(2), labels(200)
    rgb, four = np.zeros((*SIZE, 3), int), np.zeros((*SIZE, 4), int)
    write = mask_files.tiff
    files = {
        **{f'grey, min-is-white, {bits} bit': write(mask, bits, 0) for bits in (1, 4, 8, 16)},
        'transparency mask, 1 bit': write(mask, 1, 4),
        'grey, 12 bit': _declared(write(mask, 16), 16, 12),
        'floating point, 32 bit': write(mask.astype('f4'), 32, sample_format=3),
        'floating point, 64 bit': write(mask.astype('f8'), 64, sample_format=3),
        'signed, big-endian, 16 bit': write(mask, 16, sample_format=2, byte_order='>', compression=mask_files.LZW),
        'grey, big-endian, 32 bit': write(mask, 32, byte_order='>'),
        'palette, 16 bit': write(mask, 16, 3, palette=rgb[0]),
        'palette, FillOrder 2': write(mask, 4, 3, palette=rgb[0, :16], fill_order=2),
        'predictor without compression': write(mask, 8, has_predictor=True),
        'predictor, 4 bit': write(mask, 4, compression=mask_files.LZW, has_predictor=True),
        'RGB, 16 bit': write(rgb, 16, 2),
        'CMYK': write(four, 8, 5),
        'YCbCr': write(rgb, 8, 6),
        'CIELAB': write(rgb, 8, 8),
        'grey of two channels': write(rgb[..., :2], 8, 1, extra=(0,)),
        'RGB of five channels': write(np.zeros((*SIZE, 5), int), 8, 2, extra=(0, 0)),
        **{
            f'{name} inside': write(mask, 8, compression=number)
            for name, number in {
                'old JPEG': 6,
                'JPEG': 7,
                'JPEG 2000': 34712,
                'LERC': 34887,
                'WebP': 50001,
                'JPEG XL': 50002,
            }.items()
        },
        'JBIG inside': write(mask, 1, compression=34661),
    }
    for name, data in files.items():
        yield Case('TIFF', name, mask, None, None, table, {'': data})


def _declared(data: bytes, bits: int, other: int) -> bytes:
    """The same little-endian TIFF with another number in its tag BitsPerSample."""
    entry = np.array([258, 3, 1, 0, bits], '<u2').tobytes()
    assert data.count(entry) == 1
    return data.replace(entry, np.array([258, 3, 1, 0, other], '<u2').tobytes())


def _tiffs(values: np.ndarray, bits: int, photometric: int = 1, **options: object) -> dict[str, bytes]:
    write = functools.partial(mask_files.tiff, values, bits, photometric, **options)
    found = {}
    for order, name in (('<', 'little-endian'), ('>', 'big-endian')):
        for compression, number in _COMPRESSIONS.items():
            found[f'{name}, {compression}'] = write(byte_order=order, compression=number)
        found[f'{name}, strips'] = write(byte_order=order, rows_per_strip=5)
        found[f'{name}, tiles'] = write(byte_order=order, tile=16, compression=mask_files.LZW)
        if bits in (2, 4):  # which few readers know at all, and fewer in tiles
            found[f'{name}, plain tiles'] = write(byte_order=order, tile=16)
            found[f'{name}, a large tile'] = write(byte_order=order, tile=64, compression=mask_files.LZW)
        if bits >= 8:
            found[f'{name}, predictor'] = write(byte_order=order, compression=mask_files.LZW, has_predictor=True)
        if values.ndim == 3:
            found[f'{name}, planes'] = write(byte_order=order, is_planar=True)
    return found


def _ccitt(mask: np.ndarray) -> dict[str, bytes]:
    """The codes of fax machines, by libtiff: too long to write by hand."""
    found = {}
    for name in ('tiff_ccitt', 'group3', 'group4'):
        file = io.BytesIO()
        Image.fromarray(mask.astype(bool)).save(file, 'TIFF', compression=name)
        found[f'CCITT {name}'] = file.getvalue()
    return found


def _mat_cases() -> Iterator[Case]:
    """MATLAB 5, by scipy, which the product does not use."""
    mask, table = ids(200), labels(200)
    for name in ('uint8', 'uint16', 'uint32', 'int16', 'int32', 'single', 'double'):
        values = mask.astype(name)
        yield Case('MATLAB', name, mask, mask, None, table, _mats(values))
    yield Case('MATLAB', 'int8', ids(100), ids(100), None, table, _mats(ids(100).astype('int8')))
    yield Case('MATLAB', 'logical', ids(2), ids(2), None, table, _mats(ids(2).astype(bool)))
    for name, values in {
        'double, fractions': mask + 0.5,
        'complex': mask * 1j,
        'text': 'mask',
        'three dimensions': np.dstack([mask] * 3),
        'int16, negative': -mask.astype('int16'),
    }.items():
        yield Case('MATLAB', name, mask, None, None, table, _mats(values))


def _mats(values: object) -> dict[str, bytes]:
    from scipy import io as scipy_io

    found = {}
    for is_compressed in (False, True):
        file = io.BytesIO()
        scipy_io.savemat(file, {'groundtruth': values}, do_compression=is_compressed)
        found[f'compressed: {is_compressed}'] = file.getvalue()
    return found


def _other_cases() -> Iterator[Case]:
    """Formats that are no mask, by Pillow."""
    mask, table = ids(2), labels(2)
    picture = Image.fromarray(mask.astype(np.uint8))
    for kind, options in (
        ('JPEG', {}),
        ('WebP', {}),
        ('WebP, lossless', {'lossless': True}),
        ('GIF', {}),
        ('BigTIFF', {'format': 'TIFF', 'big_tiff': True}),
    ):
        file = io.BytesIO()
        picture.convert('RGB' if 'WebP' in kind else 'L').save(file, **{'format': kind.split(',')[0], **options})
        yield Case(kind, 'any', mask, None, None, table, {'': file.getvalue()})


@functools.cache
def cases() -> tuple[Case, ...]:
    """All kinds of files."""
    return *_png_cases(), *_bmp_cases(), *_tiff_cases(), *_mat_cases(), *_other_cases()


# A second reader, and the product.


def seen(case: Case, data: bytes) -> np.ndarray | None:
    """What a reader finds in a file that is not the product's: OpenCV for BMP and TIFF, Pillow for PNG, or a few lines.

    Returns:
        (H, W, 3) uint8 RGB; (H, W) values where they have more than 8 bits; None if no second reader knows the file.
    """
    if case.kind == 'PNG':
        picture = Image.open(io.BytesIO(data))
        return np.asarray(picture) if picture.mode.startswith('I') else np.asarray(picture.convert('RGB'))
    if case.pixels in ('grey, 2 bit', 'grey, 4 bit', 'grey, 4 bit, FillOrder 2') and case.kind == 'TIFF':
        return _unpacked_tiff(data)
    if case.kind == 'TIFF' and case.pixels.startswith('palette') and case.pixels.endswith(('2 bit', '4 bit')):
        values = plain_readers.tiff(data)
        if values is not None:
            return plain_readers.tiff_palette(data)[values]
        if case.pixels.endswith('2 bit'):
            return None  # compressed: OpenCV checks those writers on other depths
    deep = case.stored is not None and case.shown is None
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED if deep else cv2.IMREAD_COLOR)
    assert picture is not None, case.name
    return picture if deep else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _unpacked_tiff(data: bytes) -> np.ndarray | None:
    """Grey of a TIFF of less than 8 bits, (H, W, 3) scaled to 0..255: OpenCV does not know such files.

    In one strip, or in tiles.
    """
    order = 'little' if data[:2] == b'II' else 'big'

    def number(start: int, length: int) -> int:
        return int.from_bytes(data[start : start + length], order)

    directory = number(4, 4)
    tags = {}
    for entry in range(directory + 2, directory + 2 + 12 * number(directory, 2), 12):
        tags[number(entry, 2)] = number(entry + 8, 2 if number(entry + 2, 2) == 3 else 4)
    width, height, bits = tags[256], tags[257], tags[258]
    if 322 in tags:
        values = plain_readers.tiff(data)
        return None if values is None else _scaled(values, bits)
    if tags[259] != 1 or tags.get(278) != height:
        return None  # compressed, or several strips: OpenCV checks those writers on other depths
    strip = np.frombuffer(data, np.uint8, tags[279], tags[273])
    places = np.unpackbits(strip, bitorder='little' if tags.get(266) == 2 else 'big').reshape(height, -1)
    weights = 2 ** np.arange(bits - 1, -1, -1)
    return _scaled((places[:, : width * bits].reshape(height, width, bits) * weights).sum(axis=2), bits)


def _scaled(values: np.ndarray, bits: int) -> np.ndarray:
    """(H, W) values of few bits as (H, W, 3) grey of 0..255."""
    return np.repeat((values.astype(int) * 255 // (2**bits - 1)).astype(np.uint8)[..., None], 3, axis=2)


def how(case: Case, mask_format: str, has_colors: bool) -> str:
    """How the product reads a kind of file: what the values of all its forms are, or a reason code.

    Args:
        case: the kind of file.
        mask_format: one of `masks.MASK_FORMATS`.
        has_colors: whether the label table has colours.
    """
    table = case.labels if has_colors else LabelMap.default(case.labels.names)
    reader = masks.MaskReader(table, mask_format)
    (found,) = {_how(case, data, reader) for data in case.files.values()}
    return found


def _how(case: Case, data: bytes, reader: masks.MaskReader) -> str:
    try:
        mask = masks.decode(data, 'mask', reader)
    except rejects.RejectError as error:
        return f'`{error.reason}`'
    is_stored = case.stored is not None and np.array_equal(mask, case.stored)
    is_shown = np.array_equal(mask, case.ids)
    if case.stored is None:
        return 'colours' if is_shown else 'WRONG'
    if case.pixels.startswith('palette in another order'):
        return 'values' if is_stored else 'colours' if is_shown else 'WRONG'
    return 'values' if is_stored else 'WRONG'


_COLUMNS = (('auto', False), ('auto', True), ('ids', True), ('color', True))


def table() -> str:
    """The text of docs/mask_conformance.md."""
    lines = [
        '# How masks are read',
        '',
        'Made by `python -m tests.mask_conformance`: every format, depth and type of pixels of a mask. PNG, BMP and',
        'TIFF are written by hand from their specifications and shown to a second library, which sees what was meant.',
        '`tests/seg_pipeline/imaging/mask_conformance_test.py` checks each of the files.',
        '',
        '- `values`: the mask has what the file stores, grey values or the indices of its palette. 1 in a mask of one',
        '  bit is 1.',
        '- `colours`: the mask has the classes whose colours the file shows.',
        '- anything else is the [reason](reject_corpus.md) why the file is refused.',
        '',
        'The first two columns are `--mask_format=auto`, with a label table without colours and with colours;',
        'the others are with colours. A table without colours has derived ones: RGB in those is read by `color`, and',
        'by `auto` if not all of it is grey. Where a palette has the colours of the table in its order, values and',
        'colours are the same.',
        '',
        '| format | pixels | files | auto, no colours | auto, colours | ids | color |',
        '|---|---|---|---|---|---|---|',
    ]
    for case in cases():
        cells = [how(case, *column) for column in _COLUMNS]
        lines.append(f'| {case.kind} | {case.pixels} | {len(case.files)} | {" | ".join(cells)} |')
    lines += [
        '',
        'PNG files are plain and interlaced; BMP files have headers of 12, 40, 108 and 124 bytes, and rows from the',
        'bottom or from the top; TIFF files are little- and big-endian, in one strip, several strips, tiles or planes,',
        f'with {", ".join(_COMPRESSIONS)} as compression, with a predictor, and CCITT for one bit. MATLAB files',
        'are written by scipy, compressed or not; JPEG, WebP, GIF and BigTIFF by Pillow.',
        '',
        '`--mask_format=binary` reads 0 and 1 of one bit, 0 and 255 of 8 bits (grey, or RGB of equal channels), and a',
        'palette of black and white, as the classes 0 and 1.',
    ]
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    _TABLE.write_text(table(), encoding='utf-8')
    print(f'{len(cases())} kinds of masks: {_TABLE}', file=sys.stderr)
