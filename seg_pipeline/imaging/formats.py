"""Detects the format of an image file and checks that it is complete, before any pixel is decoded.

The check does not rely on the decoders. OpenCV 4.10 returns the decoded part of a truncated JPEG without an error, so
that a data set would hold images that are partly grey; later versions refuse the file but do not say what is wrong.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import IO

from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from seg_pipeline.imaging import bmp, exif, mat, rejects, tiff_tags
from seg_pipeline.imaging.rejects import RejectError
from seg_pipeline.plurals import counted

DEFAULT_MAX_PIXELS = 100_000_000  # 300 MB as RGB; a decompression bomb declares far more
MAX_SIDE = 1_000_000  # libpng refuses longer rows (PNG_USER_WIDTH_MAX)

# The suffixes by which `planning.pairing` finds files; what a file is, its first bytes tell.
IMAGE_SUFFIXES = frozenset(('.png', '.jpg', '.jpeg', '.webp', '.bmp', '.tif', '.tiff'))
MASK_SUFFIXES = IMAGE_SUFFIXES | {'.mat'}

GREY, PALETTE = 0, 3  # colour types of PNG
_PNG_MAGIC = b'\x89PNG\r\n\x1a\n'
_MAGICS = {
    'png': (_PNG_MAGIC,),
    'jpeg': (b'\xff\xd8\xff',),
    'webp': (b'RIFF',),
    'bmp': (b'BM',),
    'tiff': (b'II*\x00', b'MM\x00*'),
    'mat': (b'MATLAB 5.0 MAT-file', mat.VERSION_7_3),
}
MASK_ONLY = frozenset(('mat',))  # formats that `images` refuses: a file in one of them is no picture
_WEBP_HAS_EXIF = 0x08  # a flag of the chunk VP8X, in its first byte
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9  # markers of JPEG
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)  # those of the frames whose scans refine one another
# In compressed data, a byte 0xFF is followed by 0 or a restart marker; any number of 0xFF may precede other markers.
_NEXT_MARKER = re.compile(rb'\xff[^\x00\xd0-\xd7\xff]')


class _TiffFile(TiffImagePlugin.TiffImageFile):
    """Without the limit of the process, see `_OPENERS`."""

    def load_prepare(self) -> None:
        if getattr(self, '_im', None) is None:
            self.im = Image.new(self.mode, getattr(self, '_tile_size', self.size)).im
        ImageFile.ImageFile.load_prepare(self)


# Not by `Image.open`: it has a limit of its own, which belongs to the whole process. `_check_size` applies ours, also
# before anything is decoded.
_OPENERS: dict[str, Callable[[IO[bytes], str], ImageFile.ImageFile]] = {
    'png': PngImagePlugin.PngImageFile,
    'jpeg': JpegImagePlugin.jpeg_factory,
    'webp': WebPImagePlugin.WebPImageFile,
    'bmp': BmpImagePlugin.BmpImageFile,
    'tiff': TiffImagePlugin.TiffImageFile,
}
# The chunks of a PNG that Pillow unpacks up to limits of its own, and then calls the file damaged.
_PNG_TEXTS = (b'tEXt', b'zTXt', b'iTXt', b'iCCP')


def detect(data: bytes, path: str) -> str:
    """Detects the format of a file by its first bytes; the suffix of its name plays no part.

    Args:
        data: the file's bytes.
        path: its name, for messages.

    Returns:
        `png`, `jpeg`, `webp`, `bmp`, `tiff` or `mat`.

    Raises:
        RejectError: EMPTY_FILE or UNKNOWN_FORMAT.
    """
    if not data:
        raise RejectError(rejects.EMPTY_FILE, f'{path}: 0 bytes')
    for kind, magics in _MAGICS.items():
        # RIFF is a container that AVI and WAV use too; the type of its contents follows its length.
        if data.startswith(magics) and (kind != 'webp' or data[8:12] == b'WEBP'):
            return kind
    known = 'PNG, JPEG, WebP, BMP, TIFF or MATLAB 5'
    raise RejectError(rejects.UNKNOWN_FORMAT, f'{path}: begins with {data[:8]!r}, which is not {known}')


def open_checked(data: bytes, path: str, kind: str, max_pixels: int) -> Image.Image:
    """Reads the header of an image and checks that the file is complete, holds one image, and is not too large.

    Args:
        data: the file's bytes.
        path: its name, for messages.
        kind: its format, see `detect`; not `mat`.
        max_pixels: the largest height x width that is accepted.

    Returns:
        The image, not yet decoded.

    Raises:
        RejectError: TOO_LARGE, SEVERAL_IMAGES or DAMAGED.
    """
    try:
        header = _OPENERS[kind](io.BytesIO(without_texts(data) if kind == 'png' else data), '')
    except (SyntaxError, IndexError, TypeError, struct.error) as error:  # what it raises on what is no such file
        raise RejectError(rejects.DAMAGED, f'{path}: no valid {kind} header in {counted(len(data), "byte")}') from error
    except Exception as error:  # Pillow's plugins raise struct.error, IndexError and others on malformed headers
        raise RejectError(rejects.DAMAGED, f'{path}: no valid {kind} header: {error}') from error
    _check_size(header, path, max_pixels)
    find_problem = {'png': _png_problem, 'jpeg': _jpeg_problem, 'bmp': bmp.problem}.get(kind)
    if find_problem and (problem := find_problem(data)):
        raise RejectError(rejects.DAMAGED, f'{path}: {problem}')
    if kind == 'tiff':
        tiff_tags.check_parts(data, path)
    if (frames := _count_frames(header, path, kind)) > 1:
        raise RejectError(rejects.SEVERAL_IMAGES, f'{path}: a {kind} file of {frames} images, wanted one')
    header.info.pop('xmp', None)  # by which Pillow would turn a TIFF while it decodes it, see `orientation`
    return header


def _check_size(header: Image.Image, path: str, max_pixels: int) -> None:
    width, height = header.size
    if width * height > max_pixels:
        message = f'{path}: {width}x{height} is {width * height} pixels, more than --max_pixels={max_pixels}'
        raise RejectError(rejects.TOO_LARGE, message)
    if max(width, height) > MAX_SIDE:
        raise RejectError(rejects.TOO_LARGE, f'{path}: {width}x{height} has a side of more than {MAX_SIDE} pixels')


def _count_frames(header: Image.Image, path: str, kind: str) -> int:
    # A JPEG is not counted: the further images in a phone's JPEG (MPO) are previews of the first.
    if kind not in ('png', 'webp', 'tiff'):
        return 1
    try:
        return int(getattr(header, 'n_frames', 1))
    except Exception as error:  # as in `open_checked`
        raise RejectError(rejects.DAMAGED, f'{path}: its images cannot be counted: {error}') from error


def orientation(header: Image.Image, data: bytes, path: str, kind: str) -> int:
    """The EXIF orientation of an image, 1 to 8; 1 is upright, and what is returned if there is none.

    What XMP data say is not asked: hardly any program that shows pictures follows it.

    Args:
        header: what `open_checked` returned.
        data: the file's bytes.
        path: its name, for messages.
        kind: its format.

    Raises:
        RejectError: DAMAGED, see `exif.orientation`, or if there are EXIF data twice.
    """
    if kind == 'tiff':
        return exif.orientation(data, path)  # its own tags
    if kind == 'jpeg':
        return exif.orientation(header.info.get('exif', b''), path)
    blocks: list[bytes] = []
    if kind == 'png':
        blocks = [data[start + 8 : end - 4] for name, start, end in png_chunks(data) if name == b'eXIf']
    elif kind == 'webp':
        blocks = [data[start:end] for name, start, end in webp_chunks(data) if name == b'EXIF']
    if len(blocks) > 1:
        raise RejectError(rejects.DAMAGED, f'{path}: EXIF data are there {len(blocks)} times')
    found = exif.orientation(blocks[0], path) if blocks else 1
    # Some readers of WebP look at the flag alone, and others for the chunk.
    if found != 1 and kind == 'webp' and not (data[12:16] == b'VP8X' and data[20] & _WEBP_HAS_EXIF):
        raise RejectError(rejects.DAMAGED, f'{path}: EXIF orientation {found}, but its header says it has no EXIF data')
    return found


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Iterates over the chunks of a PNG (PNG specification, 5.3), up to IEND or the end of the file.

    Args:
        data: the file's bytes.

    Yields:
        The chunk's name, the offset of its first byte, and of the byte after its last. The last chunk of a truncated
        file ends beyond the file.
    """
    position = len(_PNG_MAGIC)
    # A chunk is: length of the data (4 bytes, big-endian), name (4), the data, CRC-32 (4). The length counts the data
    # alone, hence the 12.
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], 'big')
        name = data[position + 4 : position + 8]
        yield name, position, end
        if name == b'IEND' or end > len(data):
            return
        position = end


def without_texts(data: bytes) -> bytes:
    """A PNG without texts and colour profile, which say nothing about its pixels; the same bytes if it has none."""
    chunks = list(png_chunks(data))
    if not any(name in _PNG_TEXTS for name, _, _ in chunks):
        return data
    return b''.join([_PNG_MAGIC, *(data[start:end] for name, start, end in chunks if name not in _PNG_TEXTS)])


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Iterates over the chunks of a WebP file (RFC 9649, 2.3): name, and where the contents begin and end."""
    position = 12
    while position + 8 <= len(data):
        start, size = position + 8, int.from_bytes(data[position + 4 : position + 8], 'little')
        yield data[position : position + 4], start, start + size
        position = start + size + size % 2


def bare_webp(name: bytes, picture: bytes) -> bytes:
    """A WebP file of one chunk, `VP8 ` or `VP8L`, and nothing else."""
    body = b'WEBP' + name + len(picture).to_bytes(4, 'little') + picture + bytes(len(picture) % 2)
    return b'RIFF' + len(body).to_bytes(4, 'little') + body


def bare_png(data: bytes) -> bytes:
    """Drops everything from a PNG that could change its stored values: palette, gamma, profile, transparent colour.

    A palette image becomes a grey one, whose values are the indices. OpenCV has no option for this: it always applies
    the palette, and the indices, which are the class ids of a mask, would be lost.

    Args:
        data: a complete PNG of one image.

    Returns:
        A PNG with the chunks IHDR, IDAT and IEND only.
    """
    parts = [_PNG_MAGIC]
    for name, start, end in png_chunks(data):
        if name == b'IHDR':
            # The colour type is behind the chunk's name, width and height (4 bytes each) and the depth.
            body = bytearray(data[start + 4 : end - 4])
            body[13] = GREY if body[13] == PALETTE else body[13]
            parts += [data[start : start + 4], bytes(body), zlib.crc32(body).to_bytes(4, 'big')]
        elif name in (b'IDAT', b'IEND'):
            parts.append(data[start:end])
    return b''.join(parts)


def _png_problem(data: bytes) -> str | None:
    """What is wrong in a PNG file, or None: each chunk must have the right CRC-32, and the last one must be IEND.

    A CRC covers the chunk's name and data, not its length (PNG specification, 5.3).
    """
    view = memoryview(data)  # slices of it are not copied
    last = b''
    for name, start, end in png_chunks(data):
        if end > len(data):
            return f'truncated: the chunk at byte {start} needs {end} bytes, the file has {len(data)}'
        if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], 'big'):
            return f'the chunk at byte {start} has a wrong checksum'
        last = name
    return None if last == b'IEND' else f'truncated: no IEND chunk in {counted(len(data), "byte")}'


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Iterates over the segments of a JPEG (ITU-T T.81, Annex B), up to the end marker or where there is no marker.

    They are followed one by one, because a search for a marker from the start of the file would find those of an EXIF
    thumbnail.

    Args:
        data: the file's bytes.

    Yields:
        The marker's second byte, the offset of its first, and of the byte after its segment, not counting the
        compressed data behind the start of a scan. The last segment of a truncated file may end beyond the file; the
        marker is -1 where there is none.
    """
    position = 2
    while position + 2 <= len(data):
        if data[position] != 0xFF:
            yield -1, position, position
            return
        marker = data[position + 1]
        if marker == 0xFF:  # any number of fill bytes may precede a marker (B.1.1.2)
            position += 1
            continue
        # The length of a segment counts its own two bytes, but not those of the marker.
        end = position + 2
        end += 0 if marker == _END_OF_IMAGE else int.from_bytes(data[end : end + 2], 'big')
        yield marker, position, end
        if marker == _END_OF_IMAGE:
            return
        position = end
        if marker == _START_OF_SCAN:
            found = _NEXT_MARKER.search(data, end)
            position = found.start() if found else len(data)


def _jpeg_problem(data: bytes) -> str | None:
    """What is missing in a JPEG file, or None: the segments, a scan, the end marker, a scan of a progressive one.

    The format has no checksums, so truncation is all that can be found.
    """
    frame: tuple[int, int] | None = None
    scans: list[int] = []
    for marker, start, end in jpeg_segments(data):
        if marker == _END_OF_IMAGE:
            return _missing_detail(data, *frame, scans) if frame else None
        # Behind a scan, decoders skip to the next marker, and so does the pattern above.
        if marker < 0:
            return f'no marker at byte {start}'
        if marker in _PROGRESSIVE:
            frame = start, end
        if marker == _START_OF_SCAN:
            # Its length says how many components it has, and so does the byte behind it (B.2.3).
            if end <= len(data) and (end < start + 8 or end - start != 8 + 2 * data[start + 4]):
                return f'the scan at byte {start} contradicts its own length'
            scans.append(start)
    return 'truncated: no end-of-image marker' if scans else f'truncated: no scan in {counted(len(data), "byte")}'


def _missing_detail(data: bytes, start: int, end: int, scans: list[int]) -> str | None:
    """Which detail of a progressive JPEG no scan has, or None: one that is cut off between two scans looks whole.

    Args:
        data: the file's bytes.
        start, end: of the segment of its frame.
        scans: the offset of the start of each scan.
    """
    # The lowest bit of each coefficient that was sent, for each component; its number precedes its two other bytes.
    lowest: dict[int, list[int | None]] = {number: [None] * 64 for number in data[start + 10 : end : 3]}
    for scan in scans:
        after = scan + 5 + 2 * data[scan + 4]
        first, last, bits = data[after], data[after + 1], data[after + 2] & 15
        for number in data[scan + 5 : after : 2]:
            for coefficient in range(first, min(last, 63) + 1):
                lowest.setdefault(number, [None] * 64)[coefficient] = bits
    missing = sum(bits != 0 for found in lowest.values() for bits in found)
    whole = 64 * len(lowest)
    of = counted(len(scans), 'scan')
    return f'truncated: {of} without {missing} of {whole} coefficients in full' if missing else None
