"""Attacks what reads a data set that anyone may have altered: the files that describe it, and its shards."""

import contextlib
import hashlib
import json
import pathlib
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

from seg_pipeline import errors, records
from seg_pipeline.dataset import integrity, manifest, provenance, record_index
from seg_pipeline.records import tfrecord
from seg_pipeline.storage import checksums
from tests.attack import mutators
from tests.attack.target import ACCEPTED, Target, WrongError

FOUND = 'found'
DATA_SETS = 'data_sets'
_ARRAY_RECORD = 'array_record'


def make(directory: pathlib.Path) -> None:
    """Makes the two small data sets that the targets copy, one in each format; takes seconds, as TFDS is imported."""
    from tests import fake_data

    for file_format in ('tfrecord', _ARRAY_RECORD):
        root = directory / file_format
        made = fake_data.make_dataset(root / 'made', num_pairs=6, image_size=(8, 8), file_format=file_format)
        shutil.copytree(made, root / 'data_set')
        shutil.rmtree(root / 'made')


class _Opened:
    """Notes every path outside of some roots that this process opens while it is switched on."""

    def __init__(self) -> None:
        self._roots: tuple[str, ...] | None = None
        self.outside: list[str] = []
        sys.addaudithook(self._hook)  # cannot be removed: hence the switch

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._roots is None or event != 'open' or not isinstance(arguments[0], str | bytes):
            return
        path = arguments[0].decode(errors='replace') if isinstance(arguments[0], bytes) else arguments[0]
        try:
            resolved = str(pathlib.Path(path).resolve())
        except (OSError, ValueError, RuntimeError):
            return
        if not resolved.startswith(self._roots) and not resolved.endswith(('.py', '.pyc', '.so')):
            self.outside.append(path)

    @contextlib.contextmanager
    def watched(self, *roots: str) -> Iterator[None]:
        self.outside.clear()
        # The interpreter may import a module meanwhile, and the machine's tables of types and time zones.
        own = (*roots, sys.prefix, sys.base_prefix)
        self._roots = (*(str(pathlib.Path(root).resolve()) for root in own), '/proc/self')
        try:
            yield
        finally:
            self._roots = None


class _DataSet(Target):
    """A copy of a small data set of which one file is altered, and mended after each case."""

    file_format = 'tfrecord'

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory)
        self.data_set = directory / 'data_set'
        if not self.data_set.exists():
            shutil.copytree(directory.parent / DATA_SETS / self.file_format / 'data_set', self.data_set)
        source = directory.parent / DATA_SETS / self.file_format / 'data_set'
        self.files = {
            str(path.relative_to(source)): path.read_bytes() for path in sorted(source.rglob('*')) if path.is_file()
        }
        self._opened = _Opened()

    @contextlib.contextmanager
    def altered(self, **files: bytes) -> Iterator[str]:
        """The directory of the data set with other contents of some files; opening anything else is a fault."""
        for name, data in files.items():
            (self.data_set / name).write_bytes(data)
        try:
            with self._opened.watched(str(self.data_set), str(self.directory)):
                yield str(self.data_set)
            if self._opened.outside:
                raise WrongError(f'opened {self._opened.outside[0]!r}, which is outside of the data set')
        finally:
            for name in files:
                (self.data_set / name).write_bytes(self.files[name])


class Manifests(_DataSet):
    """manifest.json and the JSON files beside it; also with a manifest that has the digests of the altered files."""

    name = 'manifests'

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory)
        reject = {'key': 'a', 'reason': 'damaged', 'message': 'm', 'image': 'a.png', 'mask': None}
        self._seeds = {
            name: data or json.dumps(reject).encode() + b'\n'
            for name, data in self.files.items()
            if name.endswith(('.json', '.jsonl', '.txt'))
        }
        self._names = sorted(self._seeds)

    def case(self, random_: random.Random) -> bytes:
        # The manifest most often; the second byte says whether the digests are mended.
        number = self._names.index(manifest.FILE_NAME)
        if random_.random() < 0.6:
            number = random_.randrange(len(self._names))
        data = self._seeds[self._names[number]]
        return bytes([number, random_.random() < 0.6]) + self._altered(random_, self._names[number], data)

    def _altered(self, random_: random.Random, name: str, data: bytes) -> bytes:
        if name.endswith('.txt') or random_.random() < 0.3:
            return mutators.mutate(random_, data, list(self._seeds.values()))
        if name.endswith('.jsonl'):
            lines = data.splitlines(keepends=True)
            i = random_.randrange(len(lines))
            lines[i] = mutators.json_bytes(random_, mutators.mutate_json(random_, json.loads(lines[i]))) + b'\n'
            return b''.join(lines)
        return mutators.json_bytes(random_, mutators.mutate_json(random_, json.loads(data)))

    def check(self, data: bytes) -> str:
        if len(data) < 2:
            return FOUND
        name, is_mended, content = self._names[data[0] % len(self._names)], bool(data[1]), data[2:]
        files = {name: content}
        if is_mended and name == manifest.FILE_NAME:
            files[name] = content = _sealed(content)
        elif is_mended:
            files[manifest.FILE_NAME] = self._manifest_for(name, content)
        with self.altered(**files) as directory:
            try:
                found = list(integrity.problems(directory))
            except errors.UserError:
                found = ['refused']
            self._read_all(directory)
        if not found and not is_mended and content != self.files[name]:
            raise WrongError(f'{name} was altered, and nothing is said')
        return FOUND if found else ACCEPTED

    def _manifest_for(self, name: str, content: bytes) -> bytes:
        value = json.loads(self.files[manifest.FILE_NAME])
        digest = checksums.FileDigest(len(content), _sha256(content))
        if name in value['files']:
            value['files'][name] = vars(digest)
        return _sealed(json.dumps(value).encode())

    @staticmethod
    def _read_all(directory: str) -> None:
        """Reads each file as the commands do; only `UserError` may come of it."""
        readers: tuple[Callable[[str], object], ...] = (
            manifest.read,
            provenance.read,
            record_index.read_rejects,
            lambda path: sum(1 for _ in record_index.of(path)),
            lambda path: sum(1 for _ in record_index.by_shard(record_index.of(path))),
        )
        for read in readers:
            with contextlib.suppress(errors.UserError):
                read(directory)


def _sha256(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def _sealed(data: bytes) -> bytes:
    """A manifest with the fingerprint and the checksum that follow from the rest, where it has the form of one."""
    try:
        value = json.loads(data)
        present = {name: one for name, one in value.items() if name not in ('manifest_sha256', 'fingerprint')}
        files = present['files'].items()
        covered = {**present, 'files': {n: f for n, f in files if n not in ('provenance.json', 'report/index.html')}}
        present['fingerprint'] = _sha256(manifest.canonical_json(covered))
        present['manifest_sha256'] = _sha256(manifest.canonical_json(present))
        return manifest.canonical_json(present)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return data


class TfRecords(_DataSet):
    """TFRecord shards: the bytes of the file, and records with right checksums and other contents."""

    name = 'tfrecord'

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory)
        self._shards = sorted(name for name in self.files if f'.{self.file_format}-' in name)
        self._path = directory / f'shard.{self.file_format}-00000-of-00001'
        self._payloads = {
            payload.data for name in self._shards for payload in records.read_payloads(str(self.data_set / name))
        }

    def case(self, random_: random.Random) -> bytes:
        shards = [self.files[name] for name in self._shards]
        shard = random_.choice(shards)
        if self.file_format == 'tfrecord' and random_.random() < 0.5:
            payloads = sorted(self._payloads)
            altered = mutators.mutate(random_, random_.choice(payloads), payloads)
            return b'\1' + tfrecord.frame(payloads[0]) + tfrecord.frame(altered) + tfrecord.frame(payloads[1])
        return b'\0' + mutators.mutate(random_, shard, shards)

    def check(self, data: bytes) -> str:
        may_differ, content = data[:1] == b'\1', data[1:]
        self._path.write_bytes(content)
        path = str(self._path)
        damaged = False
        for found in records.inspect(path):
            if isinstance(found, records.DamagedRecordError):
                damaged = True
            elif not may_differ and found.data not in self._payloads:
                raise WrongError(f'record {found.index} was altered, and is accepted')
        readers: tuple[Callable[[], object], ...] = (
            lambda: sum(1 for _ in records.read_payloads(path)),
            lambda: sum(1 for _ in records.read(path)),
            lambda: list(records.read_some(path, [1])),
            lambda: list(records.read_some(path, [0, 2])),
            lambda: len(records.RecordSequence(path)),
            lambda: records.RecordSequence(path)[-1],
        )
        for read in readers:
            try:
                read()
            except (records.DamagedRecordError, IndexError):  # IndexError: there is no such record
                damaged = True
        return FOUND if damaged else ACCEPTED


class ArrayRecords(TfRecords):
    """ArrayRecord shards, which a library in C++ reads."""

    name = 'array_record'
    file_format = _ARRAY_RECORD
