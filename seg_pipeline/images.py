"""One image or one mask: decode, check, resize, encode. Bytes and numpy arrays, no TensorFlow.

OpenCV decodes what it decodes fast and rightly (PNG, JPEG); Pillow reads headers and everything else. OpenCV returns
half an image for a truncated file without a word, so PNG and JPEG files are checked for wholeness first.
"""

import dataclasses
import io
import zlib

import cv2
import numpy as np
from PIL import Image, ImageOps

from seg_pipeline import rejects
from seg_pipeline.label_map import LabelMap
from seg_pipeline.rejects import RejectError

DEFAULT_MAX_PIXELS = 100_000_000  # 300 MB as RGB: more than any camera's photo, less than a decompression bomb
ENCODINGS = ('png', 'jpeg')
MASK_FORMATS = ('auto', 'ids', 'color', 'binary')
JPEG_QUALITY = 95

_PNG_MAGIC = b'\x89PNG\r\n\x1a\n'
_MAGICS = {
    'png': (_PNG_MAGIC,),
    'jpeg': (b'\xff\xd8\xff',),
    'webp': (b'RIFF',),
    'bmp': (b'BM',),
    'tiff': (b'II*\x00', b'MM\x00*'),
    'mat': (b'MATLAB 5.0 MAT-file',),
}
_PNG_GREY, _PNG_PALETTE = 0, 3

cv2.setNumThreads(1)  # the unit of parallel work is a shard; threads inside one image only get in each other's way
Image.MAX_IMAGE_PIXELS = None  # our own limit is checked on the header, before anything is decoded


@dataclasses.dataclass(frozen=True)
class MaskReader:
    """How the pixels of a mask file become ids of the label table.

    Attributes:
        label_map: the classes.
        mask_format: `ids` (grey values or palette indices), `color` (the table's colours), `binary` (0 and 255 are the
            classes 0 and 1), or `auto`: RGB files by colour, others by id.
    """

    label_map: LabelMap
    mask_format: str = 'auto'


def read_bytes(path: str) -> bytes:
    """Reads a file.

    Raises:
        RejectError: if it cannot be read or is empty.
    """
    try:
        with open(path, 'rb') as file:
            data = file.read()
    except OSError as error:
        raise RejectError(rejects.UNREADABLE, f'{path}: {error.strerror}') from error
    if not data:
        raise RejectError(rejects.EMPTY_FILE, f'{path}: 0 bytes')
    return data


def read_image(path: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Reads a photo; see `decode_image`."""
    return decode_image(read_bytes(path), path, max_pixels)


def read_mask(path: str, reader: MaskReader | None = None, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Reads a mask; see `decode_mask`. Without a reader, the stored ids or palette indices as they are."""
    return decode_mask(read_bytes(path), path, reader, max_pixels)


def decode_image(data: bytes, path: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Decodes a PNG, JPEG, WebP, BMP or TIFF photo.

    Grey becomes RGB, transparency is dropped, 16 bits are cut to 8, CMYK is converted, and a photo whose EXIF data say
    that it was taken sideways is turned upright.

    Args:
        data: the file's bytes.
        path: its name, for messages.
        max_pixels: height x width that is still decoded.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        RejectError: UNKNOWN_FORMAT, TOO_LARGE or DAMAGED.
    """
    kind = _format_of(data, path)
    if kind == 'mat':
        raise RejectError(rejects.UNKNOWN_FORMAT, f'{path}: a MATLAB file, wanted an image')
    header = _open_checked(data, path, kind, max_pixels)
    if kind in ('png', 'jpeg') and header.mode != 'CMYK':
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise RejectError(rejects.DAMAGED, f'{path}: cannot be decoded as {kind}')
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    upright = ImageOps.exif_transpose(_load(header, path))
    if upright.mode.startswith('I;16'):
        return np.repeat((np.asarray(upright, np.uint16) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if upright.mode in ('F', 'I'):
        raise RejectError(
            rejects.UNKNOWN_FORMAT, f'{path}: pixels of type {upright.mode}, wanted 8 or 16 bits a channel'
        )
    return np.asarray(upright.convert('RGB'))


def decode_mask(
    data: bytes, path: str, reader: MaskReader | None = None, max_pixels: int = DEFAULT_MAX_PIXELS
) -> np.ndarray:
    """Decodes a mask: grey of 1 to 16 bits, a palette (its indices, not its colours), RGB by colour, or MATLAB.

    Args:
        data: the file's bytes: PNG, BMP, TIFF, or a `.mat` with an array `groundtruth`.
        path: its name, for messages.
        reader: gives meaning to the values and checks them; without it they are returned as stored.
        max_pixels: height x width that is still decoded.

    Returns:
        (H, W) uint8 ids.

    Raises:
        RejectError: UNKNOWN_FORMAT, TOO_LARGE, DAMAGED, LOSSY_MASK, UNSUPPORTED_MASK, UNKNOWN_ID, UNKNOWN_COLOR or
            AMBIGUOUS_BINARY.
    """
    values = _decode_mask_values(data, path, max_pixels)
    if reader is not None:
        return _to_ids(values, path, reader)
    if values.ndim == 3 or values.max(initial=0) > 255:
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: no mask of ids 0..255')
    return values.astype(np.uint8)


def decode_stored_mask(data: bytes) -> np.ndarray:
    """Decodes a mask out of a record: (H, W) uint8."""
    return decode_mask(data, 'segmentation_mask')


def _format_of(data: bytes, path: str) -> str:
    if not data:
        raise RejectError(rejects.EMPTY_FILE, f'{path}: 0 bytes')
    for kind, magics in _MAGICS.items():
        if data.startswith(magics) and (kind != 'webp' or data[8:12] == b'WEBP'):
            return kind
    known = 'PNG, JPEG, WebP, BMP or TIFF'
    raise RejectError(rejects.UNKNOWN_FORMAT, f'{path}: begins with {data[:8]!r}, which is not {known}')


def _open_checked(data: bytes, path: str, kind: str, max_pixels: int) -> Image.Image:
    """Reads the header, refuses too many pixels, and makes sure that nothing is missing."""
    try:
        header = Image.open(io.BytesIO(data), formats=[kind.upper()])
    except Exception as error:  # Pillow's plugins raise whatever their parsing hits
        raise RejectError(rejects.DAMAGED, f'{path}: no valid {kind} header: {error}') from error
    width, height = header.size
    if width * height > max_pixels:
        message = f'{path}: {width}x{height} is {width * height} pixels, more than --max_pixels={max_pixels}'
        raise RejectError(rejects.TOO_LARGE, message)
    find_problem = {'png': _png_problem, 'jpeg': _jpeg_problem, 'bmp': _bmp_problem}.get(kind)
    if find_problem and (problem := find_problem(data)):
        raise RejectError(rejects.DAMAGED, f'{path}: {problem}')
    return header


def _load(image: Image.Image, path: str) -> Image.Image:
    try:
        image.load()
    except Exception as error:  # as above
        raise RejectError(rejects.DAMAGED, f'{path}: {error}') from error
    return image


def _png_problem(data: bytes) -> str | None:
    """What contradicts itself in a PNG file: every chunk carries a CRC-32, the last one is IEND."""
    position = len(_PNG_MAGIC)
    view = memoryview(data)
    while position + 12 <= len(data):
        length = int.from_bytes(view[position : position + 4], 'big')
        end = position + 12 + length
        if end > len(data):
            return f'truncated: the chunk at byte {position} needs {end} bytes, the file has {len(data)}'
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], 'big'):
            return f'the checksum of the chunk at byte {position} does not hold'
        if view[position + 4 : position + 8] == b'IEND':
            return None
        position = end
    return f'truncated: no IEND chunk in {len(data)} bytes'


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


def _decode_mask_values(data: bytes, path: str, max_pixels: int) -> np.ndarray:
    """The stored values: (H, W) of an unsigned type, or (H, W, 3) uint8 RGB."""
    kind = _format_of(data, path)
    if kind in ('jpeg', 'webp'):
        message = f'{path}: a {kind.upper()} mask; its compression changes ids along edges: give the PNG originals'
        raise RejectError(rejects.LOSSY_MASK, message)
    if kind == 'mat':
        return _decode_mat(data, path, max_pixels)
    header = _open_checked(data, path, kind, max_pixels)
    if kind == 'png' and data[25] == _PNG_GREY:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if values is None or values.ndim != 2:
            raise RejectError(rejects.DAMAGED, f'{path}: cannot be decoded as a grey PNG')
        bits = data[24]
        # Decoders stretch 2 and 4 bits to the full range; 1 bit stays 0 and 255, as the binary masks of others.
        return values // (255 // (2**bits - 1)) if bits in (2, 4) else values
    return _mask_from_pillow(_load(header, path), path)


def _mask_from_pillow(image: Image.Image, path: str) -> np.ndarray:
    if image.mode in ('P', 'L'):
        return np.asarray(image)
    if image.mode == '1':
        return np.asarray(image.convert('L'))
    if image.mode.startswith('I'):
        return np.asarray(image).astype(np.int64)
    if image.mode in ('RGBA', 'LA'):
        if np.asarray(image.getchannel('A')).min() < 255:
            raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: a mask with transparent pixels')
        return np.asarray(image.convert(image.mode[:-1]))
    if image.mode == 'RGB':
        return np.asarray(image)
    raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: pixels of type {image.mode}, wanted whole-numbered ids')


def _decode_mat(data: bytes, path: str, max_pixels: int) -> np.ndarray:
    try:
        from scipy import io as scipy_io
    except ImportError as error:
        message = f'{path}: MATLAB files need scipy: pip install "seg-pipeline[mat]"'
        raise RejectError(rejects.UNKNOWN_FORMAT, message) from error
    try:
        values = scipy_io.loadmat(io.BytesIO(data), variable_names=['groundtruth']).get('groundtruth')
    except Exception as error:  # scipy raises whatever its parsing hits
        raise RejectError(rejects.DAMAGED, f'{path}: cannot be read as MATLAB: {error}') from error
    if values is None or values.ndim != 2 or not np.issubdtype(values.dtype, np.number):
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: holds no two-dimensional array `groundtruth`')
    if values.size > max_pixels:
        raise RejectError(rejects.TOO_LARGE, f'{path}: {values.size} pixels, more than --max_pixels={max_pixels}')
    if not np.array_equal(values, np.floor(values)) or values.min(initial=0) < 0:
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: holds fractional or negative ids')
    return values.astype(np.int64)


def _to_ids(values: np.ndarray, path: str, reader: MaskReader) -> np.ndarray:
    if values.ndim == 3:
        grey = np.array_equal(values[..., 0], values[..., 1]) and np.array_equal(values[..., 0], values[..., 2])
        if reader.mask_format == 'color' or (reader.mask_format == 'auto' and not grey):
            return _ids_from_colors(values, path, reader.label_map)
        if not grey:
            message = f'{path}: an RGB mask, but --mask_format={reader.mask_format}'
            raise RejectError(rejects.UNSUPPORTED_MASK, message)
        values = values[..., 0]
    elif reader.mask_format == 'color':
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: a mask of one channel, but --mask_format=color')
    if reader.mask_format == 'binary':
        return _ids_from_binary(values, path)
    _check_ids(values, path, reader)
    return values.astype(np.uint8, copy=False)


def _ids_from_binary(values: np.ndarray, path: str) -> np.ndarray:
    other = np.setdiff1d(np.unique(values), (0, 255))
    if other.size:
        raise RejectError(rejects.UNKNOWN_ID, f'{path}: value {other[0]} in a mask of 0 and 255 (--mask_format=binary)')
    return (values == 255).astype(np.uint8)


def _check_ids(values: np.ndarray, path: str, reader: MaskReader) -> None:
    labels = reader.label_map
    present = _present_values(values)
    unknown = present[(present >= labels.num_classes) & (present != labels.ignore_id)]
    if (
        reader.mask_format == 'auto'
        and labels.num_classes == 2
        and 255 in present
        and set(present.tolist()) <= {0, 255}
    ):
        message = f'{path}: holds only 0 and 255: say --mask_format=binary (255 is class 1) or ids (255 is ignored)'
        raise RejectError(rejects.AMBIGUOUS_BINARY, message)
    if unknown.size:
        row, column = np.argwhere(values == unknown[0])[0]
        message = (
            f'{path}: id {unknown[0]} at row {row}, column {column}; the label table has 0..{labels.num_classes - 1}'
            f' and {labels.ignore_id} (ignored)'
        )
        raise RejectError(rejects.UNKNOWN_ID, message)


def _present_values(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return np.flatnonzero(cv2.calcHist([np.ascontiguousarray(values)], [0], None, [256], [0, 256]))
    return np.unique(values)


def _ids_from_colors(values: np.ndarray, path: str, labels: LabelMap) -> np.ndarray:
    packed = _pack_colors(values)
    table = _pack_colors(np.asarray(labels.colors, np.uint8))
    order = np.argsort(table, kind='stable')
    places = np.searchsorted(table[order], packed).clip(max=len(table) - 1)
    ids = order[places]
    unknown = table[ids] != packed
    if unknown.any():
        row, column = np.argwhere(unknown)[0]
        red, green, blue = values[row, column]
        message = f'{path}: colour #{red:02x}{green:02x}{blue:02x} at row {row}, column {column} is in no class'
        raise RejectError(rejects.UNKNOWN_COLOR, message)
    return ids.astype(np.uint8)


def _pack_colors(values: np.ndarray) -> np.ndarray:
    wide = values.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a photo: each new pixel is the mean of the area that it covers; linear when enlarging.

    Args:
        image: (H, W, 3) uint8.
        size: (height, width) wanted.

    Returns:
        (height, width, 3) uint8.
    """
    height, width = size
    if image.shape[:2] == size:
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a mask: each new pixel is the old one under its centre, so no id appears that was not there.

    Row r of `height` comes from row floor((r + 0.5) * H / height).

    Args:
        mask: (H, W) uint8.
        size: (height, width) wanted.

    Returns:
        (height, width) uint8.
    """
    # In whole numbers: OpenCV's INTER_NEAREST_EXACT takes a neighbour where a centre lies on a border between pixels.
    rows, columns = (
        (2 * np.arange(wanted) + 1) * present // (2 * wanted) for wanted, present in zip(size, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns]


def encode_png(image: np.ndarray) -> bytes:
    """Encodes (H, W, 3) uint8 RGB or (H, W) uint8 as PNG; equal arrays give equal bytes."""
    return _encode(image, '.png', [])


def encode_image(image: np.ndarray, encoding: str) -> bytes:
    """Encodes (H, W, 3) uint8 RGB as `png` or `jpeg` (quality 95)."""
    if encoding == 'png':
        return encode_png(image)
    return _encode(image, '.jpg', [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def _encode(image: np.ndarray, suffix: str, parameters: list[int]) -> bytes:
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, data = cv2.imencode(suffix, pixels, parameters)
    if not done:
        raise ValueError(f'an array of shape {image.shape} and dtype {image.dtype} cannot be encoded as {suffix}')
    return data.tobytes()
