"""Which format a file has, and whether it is whole: what can be told from its bytes before any pixel is decoded.

OpenCV returns half an image for a truncated file without a word, and Pillow zeros for missing rows; so wholeness is
checked here.
"""

import io
import zlib
from collections.abc import Iterator

from PIL import Image, UnidentifiedImageError

from seg_pipeline.imaging import rejects
from seg_pipeline.imaging.rejects import RejectError

DEFAULT_MAX_PIXELS = 100_000_000  # 300 MB as RGB: more than any camera's photo, less than a decompression bomb
MAX_SIDE = 1_000_000  # libpng decodes no longer rows

GREY, PALETTE = 0, 3  # colour types of PNG
_PNG_MAGIC = b'\x89PNG\r\n\x1a\n'
_MAGICS = {
    'png': (_PNG_MAGIC,),
    'jpeg': (b'\xff\xd8\xff',),
    'webp': (b'RIFF',),
    'bmp': (b'BM',),
    'tiff': (b'II*\x00', b'MM\x00*'),
    'mat': (b'MATLAB 5.0 MAT-file',),
}
_ORIENTATION = 0x0112  # the EXIF and TIFF tag; 1 is upright

Image.MAX_IMAGE_PIXELS = None  # our own limit is checked on the header, before anything is decoded


def of(data: bytes, path: str) -> str:
    """The format that the first bytes tell: `png`, `jpeg`, `webp`, `bmp`, `tiff` or `mat`.

    Raises:
        RejectError: EMPTY_FILE or UNKNOWN_FORMAT.
    """
    if not data:
        raise RejectError(rejects.EMPTY_FILE, f'{path}: 0 bytes')
    for kind, magics in _MAGICS.items():
        if data.startswith(magics) and (kind != 'webp' or data[8:12] == b'WEBP'):
            return kind
    known = 'PNG, JPEG, WebP, BMP, TIFF or MATLAB 5'
    raise RejectError(rejects.UNKNOWN_FORMAT, f'{path}: begins with {data[:8]!r}, which is not {known}')


def open_checked(data: bytes, path: str, kind: str, max_pixels: int) -> Image.Image:
    """Reads the header of an image, and makes sure that it is one image, not too large, and whole.

    Args:
        data: the file's bytes.
        path: its name, for messages.
        kind: its format, see `of`.
        max_pixels: height x width that is still accepted.

    Returns:
        The image, not yet decoded.

    Raises:
        RejectError: TOO_LARGE, SEVERAL_IMAGES or DAMAGED.
    """
    try:
        header = Image.open(io.BytesIO(data), formats=[kind.upper()])
    except UnidentifiedImageError as error:
        raise RejectError(rejects.DAMAGED, f'{path}: no valid {kind} header in {len(data)} bytes') from error
    except Exception as error:  # Pillow's plugins raise whatever their parsing hits
        raise RejectError(rejects.DAMAGED, f'{path}: no valid {kind} header: {error}') from error
    _check_size(header, path, max_pixels)
    find_problem = {'png': _png_problem, 'jpeg': _jpeg_problem, 'bmp': _bmp_problem}.get(kind)
    if find_problem and (problem := find_problem(data)):
        raise RejectError(rejects.DAMAGED, f'{path}: {problem}')
    if (frames := _count_frames(header, path, kind)) > 1:
        raise RejectError(rejects.SEVERAL_IMAGES, f'{path}: a {kind} file of {frames} images, wanted one')
    return header


def _check_size(header: Image.Image, path: str, max_pixels: int) -> None:
    width, height = header.size
    if width * height > max_pixels:
        message = f'{path}: {width}x{height} is {width * height} pixels, more than --max_pixels={max_pixels}'
        raise RejectError(rejects.TOO_LARGE, message)
    if max(width, height) > MAX_SIDE:
        raise RejectError(rejects.TOO_LARGE, f'{path}: {width}x{height} has a side of more than {MAX_SIDE} pixels')


def _count_frames(header: Image.Image, path: str, kind: str) -> int:
    if kind not in ('png', 'webp', 'tiff'):  # the further images in a phone's JPEG are previews of the first
        return 1
    try:
        return getattr(header, 'n_frames', 1)
    except Exception as error:  # as above
        raise RejectError(rejects.DAMAGED, f'{path}: its images cannot be counted: {error}') from error


def orientation(header: Image.Image, data: bytes, kind: str) -> int:
    """The EXIF orientation of a PNG, TIFF or BMP: 1 is upright."""
    if kind == 'png' and not any(name == b'eXIf' for name, _, _ in png_chunks(data)):
        return 1  # Pillow would decode the whole image to find out
    return header.getexif().get(_ORIENTATION, 1)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a PNG: name, offset of its first byte and of the byte after its last. Ends with IEND or the file.

    The last chunk of a truncated file ends beyond it.
    """
    position = len(_PNG_MAGIC)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], 'big')
        name = data[position + 4 : position + 8]
        yield name, position, end
        if name == b'IEND' or end > len(data):
            return
        position = end


def bare_png(data: bytes) -> bytes:
    """The same pixels without anything that could give them another meaning: no palette, gamma, profile or key.

    A palette image becomes a grey one, whose values are the indices.

    Args:
        data: a whole PNG of one image.
    """
    parts = [_PNG_MAGIC]
    for name, start, end in png_chunks(data):
        if name == b'IHDR':
            body = bytearray(data[start + 4 : end - 4])
            body[13] = GREY if body[13] == PALETTE else body[13]
            parts += [data[start : start + 4], bytes(body), zlib.crc32(body).to_bytes(4, 'big')]
        elif name in (b'IDAT', b'IEND'):
            parts.append(data[start:end])
    return b''.join(parts)


def _png_problem(data: bytes) -> str | None:
    """What contradicts itself in a PNG file: every chunk carries a CRC-32, the last one is IEND."""
    view = memoryview(data)
    last = b''
    for last, start, end in png_chunks(data):  # noqa: B007
        if end > len(data):
            return f'truncated: the chunk at byte {start} needs {end} bytes, the file has {len(data)}'
        if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], 'big'):
            return f'the checksum of the chunk at byte {start} does not hold'
    return None if last == b'IEND' else f'truncated: no IEND chunk in {len(data)} bytes'


def _jpeg_problem(data: bytes) -> str | None:
    """What is missing in a JPEG file: the segments up to the scan, and the end marker behind it."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return f'no marker at byte {position}'
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
        if marker == 0xDA:  # start of scan: what follows holds no marker but restarts, until the end of the image
            return None if data.find(b'\xff\xd9', position) >= 0 else 'truncated: no end-of-image marker'
    return f'truncated: no scan in {len(data)} bytes'


def _bmp_problem(data: bytes) -> str | None:
    promised = int.from_bytes(data[2:6], 'little')
    return f'truncated: {len(data)} bytes, its header says {promised}' if promised > len(data) else None
