"""One mask: from the bytes of a file to ids of the data set's classes. No TensorFlow."""

import dataclasses
import io
import math

import cv2
import numpy as np
from PIL import Image

from seg_pipeline.imaging import formats, images, rejects
from seg_pipeline.imaging.rejects import RejectError
from seg_pipeline.labels.label_map import LabelMap, SourceTable
from seg_pipeline.labels.remapping import Remapping

MASK_FORMATS = ('auto', 'ids', 'color', 'binary')

_MAT_ARRAY = 'groundtruth'
_TIFF_BITS = 258  # tag BitsPerSample


@dataclasses.dataclass(frozen=True)
class MaskReader:
    """How the pixels of a mask file become ids of the data set.

    Attributes:
        label_map: the classes of the data set.
        mask_format: `ids` (grey values or palette indices), `color` (the table's colours), `binary` (0 and 255 are the
            classes 0 and 1), or `auto`: RGB files by colour, others by id.
        remapping: the classes of the file where they are others, and what becomes of them.
    """

    label_map: LabelMap
    mask_format: str = 'auto'
    remapping: Remapping | None = None

    @property
    def source(self) -> SourceTable:
        """The classes of the file."""
        return self.remapping.source if self.remapping else SourceTable.of(self.label_map)


def read(path: str, reader: MaskReader | None = None, max_pixels: int = formats.DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Reads a mask; see `decode`. Without a reader, the stored ids or palette indices as they are."""
    return decode(images.read_bytes(path, max_pixels), path, reader, max_pixels)


def decode(
    data: bytes, path: str, reader: MaskReader | None = None, max_pixels: int = formats.DEFAULT_MAX_PIXELS
) -> np.ndarray:
    """Decodes a mask: grey of 1 to 16 bits, a palette (its indices, not its colours), RGB by colour, or MATLAB.

    Args:
        data: the file's bytes: PNG, BMP, TIFF, or a `.mat` with an array `groundtruth`.
        path: its name, for messages.
        reader: gives meaning to the values, checks and remaps them; without it they are returned as stored.
        max_pixels: height x width that is still decoded.

    Returns:
        (H, W) uint8 ids.

    Raises:
        RejectError: with any of the reasons of files and masks; UNKNOWN_ID and UNKNOWN_COLOR name the first pixel.
    """
    with rejects.decoding(path):
        values = _decode_values(data, path, max_pixels)
        if reader is not None:
            return _to_ids(values, path, reader)
        if values.ndim == 3 or values.max(initial=0) > 255 or values.min(initial=0) < 0:
            raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: no mask of ids 0..255')
        return values.astype(np.uint8)


def _decode_values(data: bytes, path: str, max_pixels: int) -> np.ndarray:
    """The stored values: (H, W) of whole numbers, or (H, W, 3) uint8 RGB."""
    kind = formats.of(data, path)
    if kind in ('jpeg', 'webp'):
        message = f'{path}: a {kind.upper()} mask; its compression changes ids along edges: give the PNG originals'
        raise RejectError(rejects.LOSSY_MASK, message)
    if kind == 'mat':
        return _decode_mat(data, path, max_pixels)
    header = formats.open_checked(data, path, kind, max_pixels)
    if (turned := formats.orientation(header, data, kind)) != 1:
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: a mask with EXIF orientation {turned}: save it upright')
    return _decode_png(data, path) if kind == 'png' else _decode_with_pillow(header, path)


def _decode_png(data: bytes, path: str) -> np.ndarray:
    bits, color_type = data[24], data[25]
    is_flat = color_type in (formats.GREY, formats.PALETTE)
    if bits == 16 and not is_flat:
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: colours of 16 bits a channel, wanted 8')
    values = cv2.imdecode(np.frombuffer(formats.bare_png(data), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise RejectError(rejects.DAMAGED, f'{path}: cannot be decoded as png')
    if is_flat:
        # Decoders stretch few bits to the full range. Grey of 1 bit stays 0 and 255, as the binary masks of others.
        stretched = bits in (2, 4) or (bits == 1 and color_type == formats.PALETTE)
        return values // (255 // (2**bits - 1)) if stretched else values
    if values.shape[2] == 4:
        _check_opaque(values[..., 3], path)
    return np.ascontiguousarray(values[..., 2::-1])


def _decode_with_pillow(header: Image.Image, path: str) -> np.ndarray:
    image = images.load(header, path)
    if image.mode in ('P', 'L'):
        return np.asarray(image)
    if image.mode == '1':
        return np.asarray(image.convert('L'))
    if image.mode.startswith('I'):
        return np.asarray(image).astype(np.int64)
    if image.mode in ('RGBA', 'LA'):
        _check_opaque(np.asarray(image.getchannel('A')), path)
        image = image.convert(image.mode[:-1])
    if image.mode not in ('RGB', 'L'):
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: pixels of type {image.mode}, wanted whole-numbered ids')
    if max(getattr(header, 'tag_v2', {}).get(_TIFF_BITS, (8,))) > 8:
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: colours of 16 bits a channel, wanted 8')
    return np.asarray(image)


def _check_opaque(alpha: np.ndarray, path: str) -> None:
    if (lowest := int(alpha.min())) < 255:
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: a mask with transparent pixels, alpha down to {lowest}')


def _decode_mat(data: bytes, path: str, max_pixels: int) -> np.ndarray:
    try:
        from scipy import io as scipy_io
    except ImportError as error:
        message = f'{path}: MATLAB files need scipy: pip install "seg-pipeline[mat]"'
        raise RejectError(rejects.UNKNOWN_FORMAT, message) from error
    try:
        shapes = {name: shape for name, shape, _ in scipy_io.whosmat(io.BytesIO(data))}
        shape = shapes.get(_MAT_ARRAY, ())
        if math.prod(shape) <= max_pixels:  # nothing is unpacked before its size is known
            values = scipy_io.loadmat(io.BytesIO(data), variable_names=[_MAT_ARRAY]).get(_MAT_ARRAY)
    except MemoryError:
        raise
    except Exception as error:  # scipy raises whatever its parsing hits
        raise RejectError(rejects.DAMAGED, f'{path}: cannot be read as MATLAB: {error}') from error
    if math.prod(shape) > max_pixels:
        message = f'{path}: an array of shape {shape} is {math.prod(shape)} pixels, more than --max_pixels={max_pixels}'
        raise RejectError(rejects.TOO_LARGE, message)
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in 'uif':
        found = ', '.join(f'{name} {shape}' for name, shape in shapes.items()) or 'nothing'
        message = f'{path}: holds no two-dimensional array of numbers `{_MAT_ARRAY}`; it holds {found}'
        raise RejectError(rejects.UNSUPPORTED_MASK, message)
    if not np.array_equal(values, np.floor(values)) or values.min(initial=0) < 0:
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: holds fractional or negative ids')
    return values.astype(np.int64)


def _to_ids(values: np.ndarray, path: str, reader: MaskReader) -> np.ndarray:
    """From stored values to ids of the data set: read by format, checked against the source table, then remapped."""
    values = _to_source_ids(values, path, reader)
    _check_ids(values, path, reader)
    if reader.remapping is None:
        return values.astype(np.uint8, copy=False)
    if values.dtype == np.uint8:
        return cv2.LUT(values, reader.remapping.lookup(256))
    return reader.remapping.lookup(int(values.max()) + 1)[values]


def _to_source_ids(values: np.ndarray, path: str, reader: MaskReader) -> np.ndarray:
    if values.ndim == 3:
        grey = np.array_equal(values[..., 0], values[..., 1]) and np.array_equal(values[..., 0], values[..., 2])
        if reader.mask_format == 'color' or (reader.mask_format == 'auto' and not grey):
            return _ids_from_colors(values, path, reader.source)
        if not grey:
            message = f'{path}: an RGB mask, but --mask_format={reader.mask_format}'
            raise RejectError(rejects.UNSUPPORTED_MASK, message)
        values = np.ascontiguousarray(values[..., 0])
    elif reader.mask_format == 'color':
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: a mask of one channel, but --mask_format=color')
    return _ids_from_binary(values, path) if reader.mask_format == 'binary' else values


def _ids_from_binary(values: np.ndarray, path: str) -> np.ndarray:
    other = np.setdiff1d(_present_values(values), (0, 255))
    if other.size:
        raise RejectError(rejects.UNKNOWN_ID, f'{path}: value {other[0]} in a mask of 0 and 255 (--mask_format=binary)')
    return (values == 255).astype(np.uint8)


def _check_ids(values: np.ndarray, path: str, reader: MaskReader) -> None:
    source = reader.source
    present = _present_values(values)
    unknown = present[~np.isin(present, (*source.ids, source.ignore_id))]
    could_be_binary = reader.mask_format == 'auto' and len(source.ids) == 2 and 255 not in source.ids
    if could_be_binary and 255 in present and set(present.tolist()) <= {0, 255}:
        message = f'{path}: holds only 0 and 255: say --mask_format=binary (255 is class 1) or ids (255 is ignored)'
        raise RejectError(rejects.AMBIGUOUS_BINARY, message)
    if unknown.size:
        row, column = np.argwhere(values == unknown[0])[0]
        message = f'{path}: id {unknown[0]} at row {row}, column {column}; the label table has {_describe(source)}'
        raise RejectError(rejects.UNKNOWN_ID, message)


def _describe(source: SourceTable) -> str:
    first, last = source.ids[0], source.ids[-1]
    gaps = '' if len(source.ids) == last - first + 1 else f' ({len(source.ids)} of them)'
    return f'{first}..{last}{gaps} and {source.ignore_id} (ignored)'


def _present_values(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return np.flatnonzero(cv2.calcHist([np.ascontiguousarray(values)], [0], None, [256], [0, 256]))
    return np.unique(values)


def _ids_from_colors(values: np.ndarray, path: str, source: SourceTable) -> np.ndarray:
    packed = _pack_colors(values)
    table = _pack_colors(np.asarray(source.colors, np.uint8))
    order = np.argsort(table, kind='stable')
    places = order[np.searchsorted(table[order], packed).clip(max=len(table) - 1)]
    unknown = table[places] != packed
    if unknown.any():
        row, column = np.argwhere(unknown)[0]
        red, green, blue = values[row, column]
        message = f'{path}: colour #{red:02x}{green:02x}{blue:02x} at row {row}, column {column} is in no class'
        raise RejectError(rejects.UNKNOWN_COLOR, message)
    return np.asarray(source.ids)[places]


def _pack_colors(values: np.ndarray) -> np.ndarray:
    wide = values.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
