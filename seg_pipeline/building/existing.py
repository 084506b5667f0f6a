"""A data set that is there already, compared with what the same command would make now."""

import contextlib
import dataclasses
import itertools
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import NamedTuple

from seg_pipeline import errors, storage
from seg_pipeline.building import describe, fingerprints, pair, repair
from seg_pipeline.building.config import BuildConfig
from seg_pipeline.dataset import inner_paths, integrity, manifest, record_index
from seg_pipeline.dataset.manifest import Manifest
from seg_pipeline.dataset.record_index import RecordEntry
from seg_pipeline.imaging import rejects
from seg_pipeline.imaging.rejects import Reject
from seg_pipeline.large_plans.record_table import Match, RecordTable
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.storage import checksums

_HASHED_AT_ONCE = 512  # records: a million tasks for the threads would fill a gigabyte
# Members of a manifest whose flag has another name.
_FLAGS = {'max_distance': 'near_duplicate_distance', 'remapping': 'remap', 'version': 'dataset_version'}
_IDENTITY = ('dataset_name', 'config_name', 'version')  # what decides the place; members of a manifest


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How a published data set differs from what the same command would make now.

    Attributes:
        difference: one line that names the first difference with both values; None if there is none.
        rejects: what the command would reject now, in order; they are compared only if nothing else differs.
        rejects_difference: as `difference`, between those and what was rejected then.
        warnings: what is in its directory and no part of it.
    """

    difference: str | None
    rejects: tuple[Reject, ...] = ()
    rejects_difference: str | None = None
    warnings: tuple[str, ...] = ()


def compare(config: BuildConfig, pairs: Iterable[SourcePair], rejected: Sequence[Reject] = ()) -> Comparison:
    """Compares a published data set with what the same command would make now.

    Splits and shards are functions of options, keys and contents: where these are equal, so are those. Every source is
    read and hashed; only pairs that were rejected are decoded.

    Args:
        config: the data set configuration.
        pairs: all pairs that would go into the data set.
        rejected: what would be rejected without being decoded: files without a partner, pairs in no list.

    Raises:
        UserError: if what is there is no data set or is damaged.
        OutsideError: if a source cannot be read now, and may be readable later.
    """
    present = manifest.read(config.dataset_dir)
    # From the cheap to the expensive: options take no time, sources must be read.
    if found := _options_difference(config, present):
        return Comparison(found)
    with contextlib.closing(RecordTable(pairs)) as table:
        # "Nothing to do" must not be said of a data set with a damaged file.
        check_files(
            config,
            present,
            lambda entry: table.add(entry.key, entry.image, entry.mask, entry.image_sha256, entry.mask_sha256),
        )
        then = record_index.read_rejects(config.dataset_dir)
        unreadable: list[Reject] = []
        if found := _keys_difference(table, then) or _compare_sources(config, table.matches(), unreadable):
            return Comparison(found)
        # A reject has no digest to compare. It is good now if its file was mended, without a change of the options.
        # Decoding what ended a worker then could end this command.
        deadly = {reject.key for reject in then if reject.reason == rejects.DECODER_FAILED}
        sources = table.pairs(reject.key for reject in then)
        decoded = [_reject(config, source, is_suspect=source.key in deadly) for source in sources]
    now = describe.sorted_rejects([*rejected, *unreadable, *(reject for reject in decoded if reject)])
    return Comparison(None, now, _rejects_difference(then, now), _strangers(config, present))


def _options_difference(config: BuildConfig, present: Manifest) -> str | None:
    # A directory may have been copied to the place of another version, name or size.
    identity = {name: getattr(present, name) for name in _IDENTITY}
    for name, there, here in (
        ('manifest', identity, {name: getattr(config, name) for name in _IDENTITY}),
        ('options', present.options, config.options()),
        ('label table', present.label_map.to_json(), config.records.label_map.to_json()),
        ('records', {'record_format': present.record_format}, {'record_format': fingerprints.RECORD_FORMAT}),
        ('libraries', present.library_versions, fingerprints.library_versions(config.records.file_format)),
    ):
        for key in sorted(there.keys() | here.keys()):
            if there.get(key) != here.get(key):
                return f'{name}: {flag_of(key)} is {there.get(key)!r} there and {here.get(key)!r} here'
    return None


def flag_of(name: str) -> str:
    """The flag of `prepare_dataset` that decides a member of a manifest, without its dashes."""
    return _FLAGS.get(name, name)


def check_files(config: BuildConfig, present: Manifest, on_entry: Callable[[RecordEntry], None] | None = None) -> None:
    """Compares every file of a published data set with its manifest, digest and contents.

    Args:
        config: the data set configuration.
        present: the manifest of the data set.
        on_entry: is told of each entry of the index, in order.

    Raises:
        UserError: naming the first file that differs, and the command that mends it.
    """
    directory = config.dataset_dir
    for shard in present.shards:
        if problem := manifest.shard_problem(directory, shard):
            raise errors.UserError(f'{problem}; {_remedy(config, shard.name)}')
    for name, expected in sorted(present.files.items()):
        if problem := manifest.file_problem(directory, name, expected):
            raise errors.UserError(f'{problem}; {_remedy(config, name)}')
    # Digests can be computed anew: a fresh run would make other files than such ones.
    for problem in integrity.contradictions(directory, present, on_entry):
        raise errors.UserError(f'{errors.one_line(problem)}; remove {directory} and run the command again')
    if link := inner_paths.link(directory, manifest.FILE_NAME):  # whoever removes it has no data set any more
        raise errors.UserError(f'{link}: is a symbolic link; a data set has its files itself; put the file there')


def _strangers(config: BuildConfig, present: Manifest) -> tuple[str, ...]:
    """A line on what is in the directory and in no manifest: no reader opens it, and someone may need it."""
    found = [errors.one_line(problem) for problem in integrity.unknown(config.dataset_dir, present)]
    if not found:
        return ()
    more = f', and {len(found) - 1} more such' if len(found) > 1 else ''
    return (f'{found[0]}{more}: left alone',)


def _remedy(config: BuildConfig, name: str) -> str:
    directory = config.dataset_dir
    # Of the provenance no other file holds the command.
    if name in (*repair.SOURCES_OF_TRUTH, manifest.PROVENANCE_FILE) or not storage.has_directories(directory):
        return f'nothing can restore it: remove {directory} and run the command again'
    sources = config.sources
    words = ['python', '-m', 'seg_pipeline.verify', directory, '--repair', f'--images={sources.images}']
    return f'mend it with {shlex.join([*words, f"--masks={sources.masks}"])}'


def _keys_difference(table: RecordTable, then: Iterable[Reject]) -> str | None:
    if (key := table.first_gone()) is not None:
        return f'pair {key!r} is in it and has no files here'
    if (key := table.first_new(reject.key for reject in then)) is not None:
        return f'pair {key!r} is here and not in it'
    return None


def _compare_sources(config: BuildConfig, matches: Iterator[Match], unreadable: list[Reject]) -> str | None:
    """The first source that is not what it was; pairs that can no longer be read are added to `unreadable`."""
    sources = config.sources
    # Opening a pipe waits for a writer, which may never come: so only what has a status is opened.
    status_of = _Statuses(storage.statuses(sources.images), storage.statuses(sources.masks))

    def compare_record(match: Match) -> str | Reject | None:
        # A reader of the index follows these names: equal contents under another name are a difference too.
        for there, now in ((match.then.image, match.now.image), (match.then.mask, match.now.mask)):
            if there != now:
                return f'pair {match.now.key!r} was made from {there} and its file is {now} now'
        return _compare_record(config, status_of, match.digests, match.now)

    # Reading and hashing release the interpreter's lock. As many records at a time as keep the threads busy.
    with futures.ThreadPoolExecutor() as pool:
        while some := list(itertools.islice(matches, _HASHED_AT_ONCE)):
            for found in pool.map(compare_record, some):
                if isinstance(found, Reject):
                    unreadable.append(found)
                elif found:
                    return found
    return None


class _Statuses(NamedTuple):
    image: Callable[[str], storage.Entry | None]
    mask: Callable[[str], storage.Entry | None]


def _compare_record(
    config: BuildConfig, status_of: _Statuses, wanted: tuple[str, str], source: SourcePair
) -> str | Reject | None:
    """How a pair differs from its record: a line, the reject that it would be now, or None."""
    paths = (config.sources.image_path(source.image), config.sources.mask_path(source.mask))
    try:
        if status_of.image(source.image) is None or status_of.mask(source.mask) is None:
            return _reject(config, source)
        found = tuple(checksums.digest(path).sha256 for path in paths)
    except OSError as error:
        if errors.is_outside(error):
            raise errors.OutsideError(
                f'{error.filename or paths[0]}: cannot be read: {error.strerror or error}; run the command again'
            ) from error
        return _reject(config, source)
    for path, there, now in zip(paths, wanted, found, strict=True):
        if now != there:
            return f'{path} has SHA-256 {now[:12]} now and had {there[:12]} then'
    return None


def _reject(config: BuildConfig, source: SourcePair, is_suspect: bool = False) -> Reject | None:
    """What a fresh run would reject of a pair; None if it is good."""
    try:
        files = pair.read_files(config.sources, config.records, source)
        if is_suspect:
            pair.try_alone(pair.prepare_record, files, config.records, source)
        else:
            pair.prepare(files, config.records, source)
    except rejects.RejectError as error:
        return error.of(source.key, source.image, source.mask)
    return None


def _rejects_difference(then: Iterable[Reject], now: Iterable[Reject]) -> str | None:
    """Without the messages, which other systems word differently."""
    was, is_now = ({(r.key, r.reason, r.image, r.mask): r for r in found} for found in (then, now))
    for identity in sorted(was.keys() ^ is_now.keys(), key=str):
        if identity in is_now:
            return f'{is_now[identity].message} ({identity[1]}), which was no reject then'
        return f'{identity[0]!r} was rejected then ({identity[1]}) and is not now'
    return None
