"""Compares stored masks with their sources, pixel by pixel."""

import dataclasses
import hashlib
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seg_pipeline import errors, storage, trial, watchdog
from seg_pipeline.cross_check import placement, source_files
from seg_pipeline.cross_check.meaning import NO_CLASS, Meaning
from seg_pipeline.cross_check.source_files import Seen
from seg_pipeline.dataset.record_index import RecordEntry
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.labels.remapping import Remapping
from seg_pipeline.plurals import counted
from seg_pipeline.records import array_record, example_proto, schemas
from seg_pipeline.records import reader as records
from seg_pipeline.storage import attempts

_LENGTH_BYTES, _AROUND = 8, 16  # of a record in a TFRecord file: its length, and the length with both checksums
_MOST_DEATHS = 2
_LISTED = 5  # files in a warning


@dataclasses.dataclass(frozen=True)
class Checked:
    """What came of a comparison.

    Attributes:
        num_compared: how many masks were compared.
        num_unreadable: how many no other library can read.
        lacks_scipy: whether scipy, if it were installed, could read some of these.
        failed: the masks at which the other library failed, each with what happened.
    """

    num_compared: int = 0
    num_unreadable: int = 0
    lacks_scipy: bool = False
    failed: tuple[str, ...] = ()

    def __add__(self, other: 'Checked') -> 'Checked':
        return Checked(
            self.num_compared + other.num_compared,
            self.num_unreadable + other.num_unreadable,
            self.lacks_scipy or other.lacks_scipy,
            self.failed + other.failed,
        )

    def warnings(self, *, of_all: bool) -> tuple[str, ...]:
        """A line for each reason why some could not be compared; `of_all`: all masks were tried, not a sample."""
        total = counted(self.num_compared + self.num_unreadable + len(self.failed), 'mask')
        total = total if of_all else f'a sample of {total}'
        found = []
        if self.num_unreadable:
            scipy = ' (scipy, if installed, reads .mat)' if self.lacks_scipy else ''
            were = 'was' if self.num_unreadable == 1 else 'were'
            found.append(
                f'{self.num_unreadable} of {total} {were} not compared with their files: no second library that is '
                f'installed reads these{scipy}'
            )
        if self.failed:
            more = f' and {len(self.failed) - _LISTED} more' if len(self.failed) > _LISTED else ''
            were = 'was' if len(self.failed) == 1 else 'were'
            found.append(
                f'{len(self.failed)} of {total} {were} not compared with their files, because the second library '
                f'failed: {"; ".join(self.failed[:_LISTED])}{more}'
            )
        return tuple(found)


@dataclasses.dataclass(frozen=True)
class Checker:
    """Compares records with the mask files that they were made from.

    Attributes:
        label_map: the classes of the data set.
        mask_format, remapping: what the values of the mask files mean.
        resize, mask_resize: how the masks got their size.
        masks: root of the mask files.
    """

    label_map: LabelMap
    mask_format: str
    remapping: Remapping | None
    resize: str
    mask_resize: str
    masks: str

    def check(self, shard_path: str, entries: Sequence[RecordEntry], work_dir: str, fingerprint: str) -> Checked:
        """Compares some records of one shard, one at a time.

        The pair is noted before, as when its record was made. One at which a comparison ended its process is compared
        in a process of its own; if that ends too, the mask is not compared: its record was read properly.

        Args:
            shard_path: where the shard is; its name may be another than that in the entries.
            entries: of the records, in the order of the shard.
            work_dir: the work directory, for the notes.
            fingerprint: of the shard.

        Raises:
            OutsideError: for the first record that differs; it names key, files, pixel and both values.
            UserError: if a source was changed since its record was made.
            OSError: if the shard cannot be read, or a note not written.
        """
        checked = Checked()
        with (
            storage.local_copy(shard_path) as local,
            attempts.noted(work_dir, noted_as(fingerprint), [entry.key for entry in entries]) as attempt,
        ):
            offset = index = 0
            for entry in entries:
                if records.is_array_record(shard_path):
                    payload = array_record.read_payload(local, entry.index).data
                else:
                    payload, offset = _read_frame(local, offset, entry.index - index)
                    index = entry.index + 1
                checked += self._check_record(payload, entry, attempt)
        return checked

    def _check_record(self, payload: bytes, entry: RecordEntry, attempt: attempts.Attempt) -> Checked:
        path = os.path.join(self.masks, entry.mask)  # as everywhere: a root may end with a slash
        try:
            data = _read_source(path, entry.mask_sha256)
            if not attempt(entry.key):
                with watchdog.timed(f'the comparison of mask {entry.mask} with its record'):
                    is_compared = self._compare(payload, data, entry)
            elif (deaths := attempt.num_deaths(entry.key)) > _MOST_DEATHS:
                raise trial.FailedError(f'{deaths} processes ended while they were at it')
            else:
                is_compared = trial.call(self._compare, payload, data, entry)
        except MemoryError as error:
            return Checked(failed=(f'{entry.mask} (not enough memory{f": {error}" if str(error) else ""})',))
        except trial.FailedError as error:
            attempt.keep(entry.key)
            return Checked(failed=(f'{entry.mask} ({error})',))
        return Checked(1) if is_compared else Checked(0, 1, lacks_scipy=entry.mask.lower().endswith('.mat'))

    def _compare(self, payload: bytes, data: bytes, entry: RecordEntry) -> bool:
        record = schemas.from_features(example_proto.parse(payload))
        what = f'pair {entry.key!r}: record {entry.index} of {entry.shard}'
        if record.file_name != entry.image:
            raise _difference(f'{what} is of {record.file_name}, not of {entry.image}')
        path = os.path.join(self.masks, entry.mask)
        try:
            seen = source_files.read(data)
        except ValueError as error:
            raise _difference(f'{what} was made from {path}, which another library cannot read: {error}') from error
        if seen is None:
            return False
        with Image.open(io.BytesIO(record.mask)) as image:
            stored = np.asarray(image)
        if seen.values.shape[:2] != record.original_size:
            sizes = f'{_size(seen.values.shape)}, and the record says {_size(record.original_size)}'
            raise _difference(f'{what}: {path} is {sizes}')
        if problem := self._pixel_difference(seen, stored):
            raise _difference(f'{what}, made from {path}: {problem}')
        return True

    def _pixel_difference(self, seen: Seen, stored: NDArray[Any]) -> str | None:
        values = seen.values
        if values.ndim == 3:
            values = _packed(values)
        found = placement.place(values, (stored.shape[0], stored.shape[1]), self.resize, self.mask_resize)
        outside = np.ones(stored.shape, bool)
        outside[found.inside] = False
        for row, column in np.argwhere(outside & (stored != self.label_map.ignore_id))[:1]:
            return f'the border has id {stored[row, column]} at row {row}, column {column}, not the ignored id'
        # Each value once: a mask has few.
        mean = Meaning(self.label_map, self.mask_format, self.remapping).of(seen)
        present, places = np.unique(found.values, return_inverse=True)
        wanted = np.array([mean(int(value)) for value in present])[places].reshape(found.values.shape)
        part = stored[found.inside]
        for row, column in np.argwhere(found.is_certain & (wanted != part))[:1]:
            source = f'row {found.places[0][row]}, column {found.places[1][column]}'
            value = int(found.values[row, column])
            shown = f'colour #{value:06x}' if seen.values.ndim == 3 else f'value {value}'
            means = 'no class' if wanted[row, column] == NO_CLASS else f'id {wanted[row, column]}'
            top, left = found.inside[0].start, found.inside[1].start
            return (
                f'the file has {shown} ({means}) at {source}, and the record id {part[row, column]} at row '
                f'{top + row}, column {left + column}'
            )
        return None


def noted_as(fingerprint: str) -> str:
    """The fingerprint under which the comparison of a shard is noted."""
    return f'{fingerprint}.compared'


def _packed(rgb: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """(H, W, 3) to (H, W) 0xRRGGBB; in place, since a mask may have a hundred million pixels."""
    result: NDArray[np.int32] = rgb[..., 0].astype(np.int32)
    for channel in (1, 2):
        result <<= 8
        result |= rgb[..., channel]
    return result


def _read_frame(path: str, offset: int, skipped: int) -> tuple[bytes, int]:
    """The payload of the record after `skipped` ones, and the offset behind it. TFRecord: length, crc, data, crc."""
    with open(path, 'rb') as file:
        for number in range(skipped + 1):
            file.seek(offset)
            length = int.from_bytes(file.read(_LENGTH_BYTES), 'little')
            if number == skipped:
                file.seek(offset + _LENGTH_BYTES + 4)
                return file.read(length), offset + length + _AROUND
            offset += length + _AROUND
    raise AssertionError('a range of at least one')


def _read_source(path: str, sha256: str) -> bytes:
    try:
        data = storage.read_bytes(path)
    except OSError as error:
        raise errors.UserError(f'{path}: cannot be read any more: {error.strerror}; run the command again') from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise errors.UserError(
            f'{path}: was changed since its record was made, maybe without a change of its size and time; run the '
            'command again with --paranoid'
        )
    return data


def _size(shape: tuple[int, ...]) -> str:
    return f'{shape[0]}x{shape[1]}'


def _difference(what: str) -> errors.OutsideError:
    return errors.OutsideError(f'{what}; nothing was published: a fault of this program or of a library, report it')
