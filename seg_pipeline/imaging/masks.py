"""Reads and decodes masks: from the bytes of a file to the class ids of the data set."""

import dataclasses
import io
import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seg_pipeline.imaging import formats, images, rejects
from seg_pipeline.imaging.rejects import RejectError
from seg_pipeline.labels.label_map import LabelMap, SourceTable
from seg_pipeline.labels.remapping import Remapping

MASK_FORMATS = ('auto', 'ids', 'color', 'binary')

_MAT_ARRAY = 'groundtruth'
_TIFF_BITS = 258  # tag BitsPerSample

# Values as stored in a file, before they are checked: more than 8 bits, signed or RGB.
_Values = NDArray[np.integer[Any]]


@dataclasses.dataclass(frozen=True)
class MaskReader:
    """How the pixels of a mask file become class ids of the data set.

    Attributes:
        label_map: the classes of the data set.
        mask_format: `ids` (grey values or palette indices), `color` (the colours of the label table), `binary` (0 and
            255 are the classes 0 and 1), or `auto`: RGB files by colour, others by id.
        remapping: from the classes of the file to those of the data set; None if they are the same.
    """

    label_map: LabelMap
    mask_format: str = 'auto'
    remapping: Remapping | None = None

    @property
    def source(self) -> SourceTable:
        """The classes of the file."""
        return self.remapping.source if self.remapping else SourceTable.of(self.label_map)


def read(
    path: str, reader: MaskReader | None = None, max_pixels: int = formats.DEFAULT_MAX_PIXELS
) -> NDArray[np.uint8]:
    """Reads a mask file: `images.read_bytes`, then `decode`."""
    return decode(images.read_bytes(path, max_pixels), path, reader, max_pixels)


def decode(
    data: bytes, path: str, reader: MaskReader | None = None, max_pixels: int = formats.DEFAULT_MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decodes a mask: grey of 1 to 16 bits, a palette (its indices, not its colours), RGB by colour, or MATLAB.

    Args:
        data: the file's bytes: PNG, BMP, TIFF, or a `.mat` with an array `groundtruth`.
        path: its name, for messages.
        reader: how values become class ids. If None, the stored values are returned without a check against a table.
        max_pixels: the largest height x width that is decoded.

    Returns:
        (H, W) uint8 ids.

    Raises:
        RejectError: with any of the reasons of files and masks, see `rejects`; UNKNOWN_ID and UNKNOWN_COLOR name the
            first pixel of the unknown value.
    """
    with rejects.decoding(path):
        values = _decode_values(data, path, max_pixels)
        if reader is not None:
            return _to_ids(values, path, reader)
        if values.ndim == 3 or values.max(initial=0) > 255 or values.min(initial=0) < 0:
            raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: no mask of ids 0..255')
        return values.astype(np.uint8)


def _decode_values(data: bytes, path: str, max_pixels: int) -> _Values:
    """The stored values: (H, W) integers, or (H, W, 3) uint8 RGB."""
    kind = formats.detect(data, path)
    if kind in ('jpeg', 'webp'):
        message = f'{path}: a {kind.upper()} mask; its compression changes ids along edges: give the PNG originals'
        raise RejectError(rejects.LOSSY_MASK, message)
    if kind == 'mat':
        return _decode_mat(data, path, max_pixels)
    header = formats.open_checked(data, path, kind, max_pixels)
    # An orientation is rejected, not applied: it may be a copy of the image's EXIF data although the mask was drawn on
    # the upright image. Nothing in the file tells, and a mask that is rotated wrongly is a silent error.
    if (turned := formats.orientation(header, data, kind)) != 1:
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: a mask with EXIF orientation {turned}: save it upright')
    return _decode_png(data, path) if kind == 'png' else _decode_with_pillow(header, path)


def _decode_png(data: bytes, path: str) -> _Values:
    bits, color_type = data[24], data[25]  # of the IHDR, which is always the first chunk
    is_single_channel = color_type in (formats.GREY, formats.PALETTE)
    if bits == 16 and not is_single_channel:
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: colours of 16 bits a channel, wanted 8')
    values: NDArray[np.uint8] | None = cv2.imdecode(
        np.frombuffer(formats.bare_png(data), np.uint8), cv2.IMREAD_UNCHANGED
    )
    if values is None:
        raise RejectError(rejects.DAMAGED, f'{path}: cannot be decoded as png')
    if is_single_channel:
        # libpng scales grey of b bits to 0..255, by the factor 255 / (2**b - 1), an integer for 1, 2 and 4 bits; the
        # division undoes that. Grey of 1 bit stays 0 and 255, as the binary masks of other formats are.
        is_scaled = bits in (2, 4) or (bits == 1 and color_type == formats.PALETTE)
        return values // np.uint8(255 // (2**bits - 1)) if is_scaled else values
    if values.shape[2] == 4:
        _check_opaque(values[..., 3], path)
    return np.ascontiguousarray(values[..., 2::-1])  # BGR or BGRA to RGB


def _decode_with_pillow(header: Image.Image, path: str) -> _Values:
    image = images.load(header, path)
    if image.mode in ('P', 'L'):  # of a palette image, the array has the indices
        return np.asarray(image)
    if image.mode == '1':
        return np.asarray(image.convert('L'))
    if image.mode.startswith('I'):
        return np.asarray(image).astype(np.int64)
    if image.mode in ('RGBA', 'LA'):
        _check_opaque(np.asarray(image.getchannel('A')), path)
        image = image.convert(image.mode[:-1])
    if image.mode not in ('RGB', 'L'):
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: pixels of type {image.mode}, wanted integer ids')
    # Pillow opens a TIFF of 16 bits a channel as RGB of 8, without an error: different colours could become equal.
    if max(getattr(header, 'tag_v2', {}).get(_TIFF_BITS, (8,))) > 8:
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: colours of 16 bits a channel, wanted 8')
    return np.asarray(image)


def _check_opaque(alpha: NDArray[np.uint8], path: str) -> None:
    """Rejects transparent pixels, whose colour is undefined: editors leave any value there."""
    if (lowest := int(alpha.min())) < 255:
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: a mask with transparent pixels, alpha down to {lowest}')


def _decode_mat(data: bytes, path: str, max_pixels: int) -> NDArray[np.int64]:
    shapes, values = _load_mat(data, path, max_pixels)
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in 'uif':
        found = ', '.join(f'{name} {shape}' for name, shape in shapes.items()) or 'nothing'
        message = f'{path}: holds no two-dimensional array of numbers `{_MAT_ARRAY}`; it holds {found}'
        raise RejectError(rejects.UNSUPPORTED_MASK, message)
    # MATLAB saves doubles by default, so integers stored as floats are accepted. NaN is not equal to its own floor.
    if not np.array_equal(values, np.floor(values)) or values.min(initial=0) < 0:
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: holds fractional or negative ids')
    return values.astype(np.int64)


def _load_mat(data: bytes, path: str, max_pixels: int) -> tuple[dict[str, tuple[int, ...]], Any]:
    """The shapes of all arrays of a MATLAB file by their names, and the array of the mask, if there is one."""
    try:
        from scipy import io as scipy_io
    except ImportError as error:
        message = f'{path}: MATLAB files need scipy: pip install "seg-pipeline[mat]"'
        raise RejectError(rejects.UNKNOWN_FORMAT, message) from error
    values = None
    try:
        # A small compressed file can hold a huge array: the shape is checked before anything is unpacked.
        shapes = {name: shape for name, shape, _ in scipy_io.whosmat(io.BytesIO(data))}
        shape = shapes.get(_MAT_ARRAY, ())
        if math.prod(shape) <= max_pixels:
            values = scipy_io.loadmat(io.BytesIO(data), variable_names=[_MAT_ARRAY]).get(_MAT_ARRAY)
    except MemoryError:
        raise
    except Exception as error:  # scipy raises errors of many types on malformed data
        raise RejectError(rejects.DAMAGED, f'{path}: cannot be read as MATLAB: {error}') from error
    if math.prod(shape) > max_pixels:
        message = f'{path}: an array of shape {shape} is {math.prod(shape)} pixels, more than --max_pixels={max_pixels}'
        raise RejectError(rejects.TOO_LARGE, message)
    return shapes, values


def _to_ids(values: _Values, path: str, reader: MaskReader) -> NDArray[np.uint8]:
    """Turns stored values into ids of the data set: read by format, checked against the source table, remapped."""
    # Checked before the remapping, which gives all values without a class the ignored id.
    values = _to_source_ids(values, path, reader)
    _check_ids(values, path, reader)
    if reader.remapping is None:
        return values.astype(np.uint8, copy=False)
    if values.dtype == np.uint8:  # the usual case, for which OpenCV is several times faster than an index by numpy
        remapped: NDArray[np.uint8] = cv2.LUT(values, reader.remapping.lookup(256))
        return remapped
    return reader.remapping.lookup(int(values.max()) + 1)[values]


def _to_source_ids(values: _Values, path: str, reader: MaskReader) -> _Values:
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


def _ids_from_binary(values: _Values, path: str) -> NDArray[np.uint8]:
    other = np.setdiff1d(_present_values(values), (0, 255))
    if other.size:
        raise RejectError(rejects.UNKNOWN_ID, f'{path}: value {other[0]} in a mask of 0 and 255 (--mask_format=binary)')
    ids: NDArray[np.uint8] = (values == 255).astype(np.uint8)
    return ids


def _check_ids(values: _Values, path: str, reader: MaskReader) -> None:
    source = reader.source
    present = _present_values(values)
    unknown = present[~np.isin(present, (*source.ids, source.ignore_id))]
    # With two classes, 255 is either the ignored id or how image editors write class 1. A wrong guess would not be
    # noticed: all pixels of the object would be ignored, or all ignored pixels would be object.
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


def _present_values(values: _Values) -> _Values:
    """The distinct values, ascending."""
    if values.dtype == np.uint8:  # a histogram takes one pass; `unique` sorts all pixels
        return np.flatnonzero(cv2.calcHist([np.ascontiguousarray(values)], [0], None, [256], [0, 256]))
    return np.unique(values)


def _ids_from_colors(values: _Values, path: str, source: SourceTable) -> _Values:
    """Looks up the class of each pixel's colour.

    Each colour is packed into one integer and found by binary search, in one pass over the pixels. A comparison with
    each class in turn would take as many passes as there are classes, and a table of all 2**24 colours would have to be
    built for each mask.

    Args:
        values: (H, W, 3) uint8 RGB.
        path: the mask's name, for messages.
        source: the classes of the file, no two of one colour.

    Returns:
        (H, W) ids.

    Raises:
        RejectError: UNKNOWN_COLOR.
    """
    packed = _pack_colors(values)
    table = _pack_colors(np.asarray(source.colors, np.uint8))
    order = np.argsort(table, kind='stable')
    # `searchsorted` returns where a colour would be inserted: at the equal one if it is in the table, otherwise at any
    # place, perhaps one past the end. Hence `clip`, and the comparison with what is found.
    places = order[np.searchsorted(table[order], packed).clip(max=len(table) - 1)]
    unknown = table[places] != packed
    if unknown.any():
        row, column = np.argwhere(unknown)[0]
        red, green, blue = values[row, column]
        message = f'{path}: colour #{red:02x}{green:02x}{blue:02x} at row {row}, column {column} is in no class'
        raise RejectError(rejects.UNKNOWN_COLOR, message)
    ids: NDArray[np.int64] = np.asarray(source.ids)[places]
    return ids


def _pack_colors(values: _Values) -> NDArray[np.int32]:
    """(..., 3) RGB to (...) integers 0xRRGGBB."""
    wide = values.astype(np.int32)  # 8 bits would overflow in the shifts
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
