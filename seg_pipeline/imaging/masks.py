"""Reads and decodes masks: from the bytes of a file to the class ids of the data set."""

import dataclasses
import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_pipeline.imaging import formats, images, mat, rejects, stored_values
from seg_pipeline.imaging.rejects import RejectError
from seg_pipeline.imaging.stored_values import StoredValues, Values
from seg_pipeline.labels.label_map import LabelMap, SourceTable
from seg_pipeline.labels.remapping import Remapping

MASK_FORMATS = ('auto', 'ids', 'color', 'binary')

_NO_CLASS = -1
_BAND_PIXELS = 1 << 18  # as many are looked up by colour at a time: that takes some thirty bytes a pixel


@dataclasses.dataclass(frozen=True)
class MaskReader:
    """How the pixels of a mask file become class ids of the data set.

    Attributes:
        label_map: the classes of the data set.
        mask_format: `ids` (grey values or palette indices), `color` (the colours of the label table), `binary` (0 and
            255 are the classes 0 and 1, of one bit 0 and 1), or `auto`: grey by id; RGB and palettes by colour, where
            the label table gives colours. Where it gives none, palettes are read by index, and RGB by colour unless
            every pixel is grey.
        remapping: from the classes of the file to those of the data set; None if they are the same.
    """

    label_map: LabelMap
    mask_format: str = 'auto'
    remapping: Remapping | None = None

    @functools.cached_property
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
    """Decodes a mask: grey, a palette, RGB, or MATLAB; docs/mask_conformance.md has the table.

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
        kind = formats.detect(data, path)
        if kind == 'mat':
            stored = StoredValues(mat.decode(data, path, max_pixels), bits=64)
        else:
            stored = stored_values.decode(data, path, kind, max_pixels)
        if reader is not None:
            return _to_ids(stored, path, reader)
        values = stored.values
        if values.ndim == 3 or values.max(initial=0) > 255 or values.min(initial=0) < 0:
            raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: no mask of ids 0..255')
        return values.astype(np.uint8)


def _to_ids(stored: StoredValues, path: str, reader: MaskReader) -> NDArray[np.uint8]:
    """Turns stored values into ids of the data set: read by format, checked against the source table, remapped."""
    # Checked before the remapping, which gives all values without a class the ignored id.
    values = _to_source_ids(stored, path, reader)
    _check_ids(values, path, reader)
    if reader.remapping is None:
        return values.astype(np.uint8, copy=False)
    if values.dtype == np.uint8:  # the usual case, for which OpenCV is several times faster than an index by numpy
        remapped: NDArray[np.uint8] = cv2.LUT(values, reader.remapping.lookup(256))
        return remapped
    return reader.remapping.lookup(int(values.max()) + 1)[values]


def _to_source_ids(stored: StoredValues, path: str, reader: MaskReader) -> Values:
    if stored.values.ndim == 3:
        return _ids_of_rgb(stored.values, path, reader)
    if stored.palette is not None and reader.mask_format == 'color':
        return _ids_of_palette(stored, stored.palette, path, reader)
    if reader.mask_format == 'color':
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: a mask of one channel, but --mask_format=color')
    if reader.mask_format == 'binary':
        return _ids_from_binary(stored, path)
    if reader.mask_format == 'auto' and stored.palette is not None and not stored.is_grey:
        return _ids_of_palette(stored, stored.palette, path, reader)
    if reader.mask_format == 'auto' and reader.source.has_given_colors:
        _check_one_meaning(stored, path, reader.source)
    return stored.values


def _ids_of_rgb(values: Values, path: str, reader: MaskReader) -> Values:
    form, source = reader.mask_format, reader.source
    is_grey = np.array_equal(values[..., 0], values[..., 1]) and np.array_equal(values[..., 0], values[..., 2])
    if form == 'color' or (form == 'auto' and (source.has_given_colors or not is_grey)):
        return _ids_from_colors(values, path, source, is_grey and form == 'auto')
    if not is_grey:
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: an RGB mask, but --mask_format={form}')
    stored = StoredValues(np.ascontiguousarray(values[..., 0]))
    if form == 'auto':
        _check_one_meaning(stored, path, source)
    return _ids_from_binary(stored, path) if form == 'binary' else stored.values


def _check_one_meaning(stored: StoredValues, path: str, source: SourceTable) -> None:
    """Rejects grey that is ids and, as it looks, also colours of the table, but those of other classes.

    Black ink on white paper is such a file, where the table has ink and paper in black and white.
    """
    present, greys = _present_values(stored.values), stored.greys
    if greys is None and stored.is_grey:
        greys = np.zeros(1, np.uint8)  # of more than 8 bits, that 0 is black is all that is certain
    if greys is None or present[-1] >= len(greys):
        return
    shown = greys[present]
    by_color = _classes_of_colors(np.repeat(shown[:, None], 3, axis=1), source)
    is_id = np.isin(present, (*source.ids, source.ignore_id)).all()
    if is_id and (by_color != _NO_CLASS).all() and (by_color != present).any():
        i = int(np.flatnonzero(by_color != present)[0])
        color = '#' + 3 * f'{shown[i]:02x}'
        is_binary = len(source.ids) == 2 and set(present.tolist()) <= {0, 255} and source.ignore_id == 255
        formats_to_say = 'binary (255 is class 1) or ids (255 is ignored)' if is_binary else 'ids'
        message = (
            f'{path}: value {present[i]} is an id and, as the grey {color}, the colour of class {by_color[i]}: '
            f'say --mask_format={formats_to_say}, or save it as RGB for --mask_format=color'
        )
        raise RejectError(rejects.AMBIGUOUS_GREY, message)


def _ids_from_binary(stored: StoredValues, path: str) -> NDArray[np.uint8]:
    """0 and 255 of 8 bits, 0 and 1 of one bit, or black and white of a palette become 0 and 1."""
    values, present = stored.values, _present_values(stored.values)
    wrong = np.setdiff1d(present, (0, 1) if stored.bits == 1 else (0, 255))
    is_white = _white_indices(stored.palette, present) if stored.palette is not None else None
    by_value = values != 0
    if is_white is None and wrong.size:
        message = f'{path}: value {wrong[0]} in a mask of 0 and 255 (--mask_format=binary)'
        raise RejectError(rejects.UNKNOWN_ID, message, int(wrong[0]))
    by_color = by_value if is_white is None else is_white[values]
    if not wrong.size and not np.array_equal(by_value, by_color):
        message = f'{path}: index 0 is white and {present[-1]} black: say --mask_format=ids, or color'
        raise RejectError(rejects.PALETTE_MISMATCH, message)
    ids: NDArray[np.uint8] = by_color.astype(np.uint8)
    return ids


def _white_indices(palette: NDArray[np.uint8], present: Values) -> NDArray[np.bool_] | None:
    """Whether each index of a palette is white; None if those that are present are not all black or white."""
    if present[-1] >= len(palette):
        return None
    is_white: NDArray[np.bool_] = (palette[:, :3] == 255).all(axis=1)
    is_black = (palette[:, :3] == 0).all(axis=1)
    return is_white if (is_white | is_black)[present].all() else None


def _check_ids(values: Values, path: str, reader: MaskReader) -> None:
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
        raise RejectError(rejects.UNKNOWN_ID, message, int(unknown[0]))


def _describe(source: SourceTable) -> str:
    first, last = source.ids[0], source.ids[-1]
    gaps = '' if len(source.ids) == last - first + 1 else f' ({len(source.ids)} of them)'
    return f'{first}..{last}{gaps} and {source.ignore_id} (ignored)'


def _present_values(values: Values) -> Values:
    """The distinct values, ascending."""
    if values.dtype == np.uint8:  # a histogram takes one pass; `unique` sorts all pixels
        return np.flatnonzero(cv2.calcHist([np.ascontiguousarray(values)], [0], None, [256], [0, 256]))
    return np.unique(values)


def _ids_of_palette(stored: StoredValues, palette: NDArray[np.uint8], path: str, reader: MaskReader) -> Values:
    """The classes of a palette's colours, or its indices where the two agree or the table gives no colours.

    Raises:
        RejectError: PALETTE_MISMATCH if palette and table contradict each other, UNKNOWN_COLOR with the format `color`
            if a colour is in no class, UNSUPPORTED_MASK if one is transparent.
    """
    values, source = stored.values, reader.source
    present = _present_values(values)
    by_color = np.full(max(len(palette), int(present[-1]) + 1), _NO_CLASS, np.int64)
    by_color[: len(palette)] = _classes_of_colors(palette[:, :3], source)
    found = by_color[present]
    # The ignored id has no colour in the table: any other colour at its index is no contradiction, if all others agree.
    if ((found == present) | ((found == _NO_CLASS) & (present == source.ignore_id))).all():
        return values
    is_said = reader.mask_format == 'color'
    if not is_said and not source.has_given_colors:
        if (found != _NO_CLASS).all() and len(np.unique(found)) == len(found):
            message = f'{path}: its palette has the colours of the classes in another order than that of their ids'
            raise RejectError(rejects.PALETTE_MISMATCH, f'{message}: say --mask_format=ids or color')
        return values
    _check_palette(stored, palette, found, path, is_said)
    by_color = by_color.clip(min=0)  # the others do not occur
    return by_color.astype(np.min_scalar_type(by_color.max()))[values]


def _check_palette(
    stored: StoredValues, palette: NDArray[np.uint8], found: NDArray[np.int64], path: str, is_said: bool
) -> None:
    """Checks that each index that a mask has leads to one class, by its colour.

    Args:
        stored: the indices.
        palette: (n, 4) RGBA.
        found: the class of each index that occurs, ascending by the index; `_NO_CLASS` if its colour is in none.
        path: the mask's name, for messages.
        is_said: whether the format is `color`, and not guessed.
    """
    present = _present_values(stored.values)
    hint = '' if is_said else '; --mask_format=ids reads the indices as ids'
    if (found == _NO_CLASS).any():
        index = int(present[found == _NO_CLASS][0])
        row, column = np.argwhere(stored.values == index)[0]
        colors = ['#{:02x}{:02x}{:02x}'.format(*color) for color in palette[index : index + 1, :3]]
        what = f'colour {colors[0]} is in no class' if colors else f'the palette of {len(palette)} has no such colour'
        message = f'{path}: palette index {index} at row {row}, column {column}: {what}{hint}'
        raise RejectError(rejects.UNKNOWN_COLOR if is_said else rejects.PALETTE_MISMATCH, message)
    if len(np.unique(found)) < len(found):
        number = next(number for number in found if (found == number).sum() > 1)
        first, second, *_ = present[found == number]
        message = f'{path}: palette indices {first} and {second} have one colour, that of class {number}{hint}'
        raise RejectError(rejects.PALETTE_MISMATCH, message)
    if (lowest := int(palette[present, 3].min())) < 255:
        message = f'{path}: a palette with transparent colours, alpha down to {lowest}{hint}'
        raise RejectError(rejects.UNSUPPORTED_MASK, message)


def _ids_from_colors(values: Values, path: str, source: SourceTable, is_grey: bool) -> Values:
    """Looks up the class of each pixel's colour.

    Args:
        values: (H, W, 3) uint8 RGB.
        path: the mask's name, for messages.
        source: the classes of the file.
        is_grey: whether a hint is given how its values are read as ids.

    Returns:
        (H, W) ids.

    Raises:
        RejectError: UNKNOWN_COLOR.
    """
    ids = np.empty(values.shape[:2], np.min_scalar_type(max(source.ids)))
    num_rows = max(1, _BAND_PIXELS // values.shape[1])
    for top in range(0, len(values), num_rows):
        found = _classes_of_colors(values[top : top + num_rows], source)
        unknown = found == _NO_CLASS
        if unknown.any():
            row, column = np.argwhere(unknown)[0]
            red, green, blue = values[top:][row, column]
            message = (
                f'{path}: colour #{red:02x}{green:02x}{blue:02x} at row {top + row}, column {column} is in no class'
            )
            hint = '; every pixel is grey: --mask_format=ids reads the values as ids' if is_grey else ''
            raise RejectError(rejects.UNKNOWN_COLOR, message + hint)
        ids[top : top + num_rows] = found
    return ids


def _classes_of_colors(colors: Values, source: SourceTable) -> NDArray[np.int64]:
    """The class of each colour.

    Each colour is packed into one integer and found by binary search, in one pass over the pixels. A comparison with
    each class in turn would take as many passes as there are classes, and a table of all 2**24 colours would have to be
    built for each mask.

    Args:
        colors: (..., 3) RGB, 0..255.
        source: the classes.

    Returns:
        (...) the id of the class; `_NO_CLASS` where no class, or more than one, has the colour. Only derived colours of
        ids above 255 repeat.
    """
    packed = _pack_colors(colors)
    table, order, counts = np.unique(
        _pack_colors(np.asarray(source.colors, np.uint8)), return_index=True, return_counts=True
    )
    ids = np.where(counts == 1, np.asarray(source.ids)[order], _NO_CLASS)
    # `searchsorted` returns where a colour would be inserted: at the equal one if it is in the table, otherwise at any
    # place, perhaps one past the end. Hence `clip`, and the comparison with what is found.
    places = np.searchsorted(table, packed).clip(max=len(table) - 1)
    found: NDArray[np.int64] = np.where(table[places] == packed, ids[places], _NO_CLASS)
    return found


def _pack_colors(values: Values) -> NDArray[np.int32]:
    """(..., 3) RGB to (...) integers 0xRRGGBB."""
    wide = values.astype(np.int32)  # 8 bits would overflow in the shifts
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
