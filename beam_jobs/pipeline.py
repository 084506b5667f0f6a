"""The complete job, without a flag: pairs in, a published data set out.

`prepare_dataset` calls `run` with what its flags say; a program can call it with a configuration of its own. The plan
is fixed before anything is decoded: which files are a pair, which split and shard each pair goes to, in which order. So
the bytes of the data set do not depend on the engine, on the number of workers or on how often the job was interrupted.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beam_jobs import progress, runners, source_pairs, suspects, transforms
from beam_jobs.engines.local import LostWorkerError
from seg_pipeline import errors, storage
from seg_pipeline.building import content_scan, existing, fingerprints, markers, object_commit, work_dir
from seg_pipeline.building.config import BuildConfig
from seg_pipeline.building.markers import Outcome, Result
from seg_pipeline.building.publish import PublishRequest
from seg_pipeline.dataset import ignored, manifest, place
from seg_pipeline.dataset.provenance import Provenance
from seg_pipeline.imaging import rejects
from seg_pipeline.large_plans import assigning
from seg_pipeline.large_plans.assigned import LargeAssignments
from seg_pipeline.large_plans.assigning import LargeContents
from seg_pipeline.large_plans.pair_table import PairTable
from seg_pipeline.planning import empty_splits, plan_files, sharding
from seg_pipeline.planning.assignment import Assignments
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.planning.plan_files import PlannedShard, ShardToMake
from seg_pipeline.planning.split_options import Contents, SplitOptions
from seg_pipeline.plurals import counted
from seg_pipeline.records import writer
from seg_pipeline.storage import attempts

_Assigned = Assignments | LargeAssignments


@dataclasses.dataclass(frozen=True)
class JobConfig:
    """What a job does.

    Attributes:
        build: the data set configuration.
        splits: how pairs come into splits and shards.
        image_glob: which files of the folder of images are images, see `planning.path_patterns`; None for all.
        mask_glob: which files of the folder of masks are masks.
        image_key_regex: finds the key in an image's path; None lets `pairing` find it.
        mask_key_regex: finds the key in a mask's path.
        allow_rejects: publish without the pairs that are rejected instead of not at all.
        allow_empty_splits: make the data set without the splits that get no pair instead of not at all.
        dry_run: check everything and write the report, make no data set.
        clean: remove what other commands left in the work directory.
        paranoid: trust no size and time of a file, and compare every stored mask with its file; see `shard.write`.
        command: what to type to make the data set again, for its provenance.
    """

    build: BuildConfig
    splits: SplitOptions
    image_glob: str | None = None
    mask_glob: str | None = None
    image_key_regex: str | None = None
    mask_key_regex: str | None = None
    allow_rejects: bool = False
    allow_empty_splits: bool = False
    dry_run: bool = False
    clean: bool = False
    paranoid: bool = False
    command: str = ''

    @property
    def work_dir(self) -> str:
        """Where the unfinished work of this job is kept."""
        return self.build.check_dir if self.dry_run else self.build.work_dir


def run(config: JobConfig, options: PipelineOptions) -> Outcome:
    """Runs the job on the engine that Beam's options name.

    Prints the plan on stdout and the progress on stderr.

    Raises:
        UserError: if the user can mend what is wrong.
        OutsideError: if the disk is full, or a worker process of this machine was killed; finished shards are kept.
        RuntimeError: if the job failed otherwise.
    """
    # Everything that can be wrong with the flags and the folders is found here, before a worker starts.
    found = source_pairs.find(
        config.build.sources, config.image_glob, config.mask_glob, config.image_key_regex, config.mask_key_regex
    )
    pairs, left_out = config.splits.members(found.pairs), config.splits.left_out(found.pairs)
    if not config.dry_run:
        _clear_place(config)
    if place.is_taken(config.build.dataset_dir) and not config.dry_run:
        return _compare_existing(config, pairs, (*found.rejects, *left_out))
    counts = sharding.parse_counts(config.splits.num_shards, config.splits.names)
    with contextlib.ExitStack() as stack:
        stack.callback(work_dir.remove_stale, config.work_dir)  # at last, when the plans are gone that keep it
        batches, contents = _scan_contents(config, pairs, options, stack)
        assignments = _assign(config, pairs, contents)
        unfilled = empty_splits.check(config.splits, assignments, allowed=config.allow_empty_splits)
        written = plan_files.written(
            config.work_dir,
            _plan_shards(config, pairs, assignments, counts, options),
            rejects=(*found.rejects, *left_out),
            duplicates=assignments.duplicates,
        )
        with work_dir.locked(config.work_dir), storage.writing(config.work_dir):
            plan, shards = stack.enter_context(written)
        _announce(shards, assignments, len(left_out))
        if unfilled:
            _warn(unfilled)
        _report_unowned(config, [*batches, *shards])
        request = PublishRequest(
            config.build, plan, config.allow_rejects, config.allow_empty_splits, Provenance.here(config.command)
        )
        return _make(config, shards, batches, request, options)


def _make(
    config: JobConfig,
    shards: Sequence[PlannedShard],
    batches: Sequence[PlannedShard],
    request: PublishRequest,
    options: PipelineOptions,
) -> Outcome:
    """Makes what is planned, and removes what nobody needs then."""
    # Until the outcome was read: a command that finds itself alone removes what no command needs.
    with work_dir.locked(config.work_dir):
        with progress.ShardProgress(
            [unit for shard in shards for unit in shard.units],
            lambda unit: markers.marker_path(config.work_dir, unit.fingerprint),
            lambda unit: markers.marker_path(config.work_dir, unit.shard.fingerprint),
            unit='parts of shards' if any(shard.unit_sizes for shard in shards) else 'shards',
        ):
            outcome = _run_pipeline(config, shards, batches, request, options)
        scanned = frozenset(batch.fingerprint for batch in batches)
        if outcome.result in (Result.PUBLISHED, Result.CHECKED):  # else the same command needs them again
            content_scan.remove(config.work_dir, scanned)
        if outcome.result is Result.PUBLISHED:
            with contextlib.suppress(OSError):  # as `publish` does with the notes of shards
                attempts.forget(config.work_dir, scanned)
    return outcome


def _scan_contents(
    config: JobConfig, pairs: Sequence[SourcePair], options: PipelineOptions, stack: contextlib.ExitStack
) -> tuple[list[PlannedShard], Contents | LargeContents]:
    """Finds out, on the engine, what must be known of the contents to split the pairs.

    Args:
        config, options: as for `run`.
        pairs: all pairs.
        stack: keeps the plan of the batches until it is closed.

    Returns:
        The scanned batches, whose results are kept in the work directory, and their findings.
    """
    what = content_scan.Scan.of(config.splits)
    is_large = isinstance(pairs, PairTable)
    if what is None:
        return [], LargeContents.unknown(len(pairs)) if is_large else Contents()
    sources, records = config.build.sources, config.build.records
    planned = content_scan.plan(sources, records, what, pairs)
    written = plan_files.written(config.work_dir, map(ShardToMake, planned))
    with work_dir.locked(config.work_dir):
        with storage.writing(config.work_dir):
            plan, batches = stack.enter_context(written)
        shown = progress.ShardProgress(
            [unit for batch in batches for unit in batch.units],
            lambda batch: content_scan.result_path(config.work_dir, batch.fingerprint),
            unit='batches scanned',
        )
        with shown:
            _run_pass(
                config,
                batches,
                lambda pipeline: (
                    pipeline
                    | transforms.ReadPlan(plan)  # PlannedShard
                    | transforms.ScanPairs(sources, records, config.work_dir, what, config.paranoid)  # None
                ),
                options,
            )
    if is_large:
        return batches, content_scan.read_many(config.work_dir, batches, len(pairs), what)
    return batches, content_scan.read(config.work_dir, (batch.fingerprint for batch in batches))


def _assign(config: JobConfig, pairs: Sequence[SourcePair], contents: Contents | LargeContents) -> _Assigned:
    images, names = config.build.sources.images, config.build.records.label_map.names
    if isinstance(contents, LargeContents):
        assert isinstance(pairs, PairTable)
        return assigning.assign(config.splits, images, pairs, contents, names)
    return config.splits.assign(images, pairs, contents, names)


def _plan_shards(
    config: JobConfig,
    pairs: Sequence[SourcePair],
    assignments: _Assigned,
    counts: dict[str, int],
    options: PipelineOptions,
) -> Iterator[ShardToMake]:
    """The shards with their fingerprints, parts and the assignments of their pairs, one after another."""
    records, seed, name = config.build.records, config.splits.seed, config.build.dataset_name
    file_format, image_size = records.file_format, records.image_size
    if isinstance(assignments, LargeAssignments):
        shards = assignments.shards(counts, seed, name, file_format, image_size)
    else:
        by_key, split_of = assignments.by_key, assignments.split_of
        plans = sharding.plan(pairs, split_of, counts, seed, name, file_format=file_format, image_size=image_size)
        shards = ((plan, {pair.key: by_key[pair.key] for pair in plan.pairs}) for plan in plans)
    # A dry run writes nothing that could be put together, and other formats than TFRecord are no plain sequence.
    at_once = config.dry_run or file_format != writer.TFRECORD
    most = len(pairs) if at_once else sharding.pairs_per_unit(len(pairs), runners.num_workers(options))
    fingerprinter = fingerprints.Fingerprinter(config.build.sources, records)
    for plan, reasons in shards:
        whole, units = fingerprinter.with_units(plan, most)
        yield ShardToMake(whole, reasons, units if len(units) > 1 else ())


def _run_pipeline(
    config: JobConfig,
    shards: Sequence[PlannedShard],
    batches: Sequence[PlannedShard],
    request: PublishRequest,
    options: PipelineOptions,
) -> Outcome:
    """Runs the one linear chain from plans to the outcome."""
    outcome_path = markers.new_outcome_path(config.work_dir)
    inputs = (config.build.sources, config.build.records, config.work_dir)
    make = transforms.CheckShards(*inputs) if config.dry_run else transforms.WriteShards(*inputs, config.paranoid)
    finish = transforms.ReportFindings if config.dry_run else transforms.PublishDataset
    has_parts = any(shard.unit_sizes for shard in shards)
    made_in_parts = transforms.MakeUnits(*inputs, config.paranoid) if has_parts else beam.Map(lambda shard: shard)
    _run_pass(
        config,
        [*batches, *shards],
        lambda pipeline: (
            pipeline
            | transforms.ReadPlan(request.plan)  # PlannedShard
            | made_in_parts  # PlannedShard
            | make  # ShardSummary
            | beam.CombineGlobally(transforms.MergeSummaries())  # Summaries
            | finish(request, outcome_path)  # None
        ),
        options,
    )
    return markers.take_outcome(outcome_path)


def _run_pass(
    config: JobConfig,
    plans: Sequence[PlannedShard],
    build: Callable[[beam.Pipeline], object],
    options: PipelineOptions,
) -> None:
    """Runs one pass over the pairs; says before it which are suspected to end a process, and after it which did.

    Args:
        config: of the job.
        plans: the work of this pass and of earlier ones.
        build, options: as for `runners.run`.
    """
    suspects.announce(config.work_dir, plans)
    try:
        runners.run(build, options)
    except LostWorkerError as error:
        raise LostWorkerError(f'{error}{suspects.explain(config.work_dir, plans)}') from error


def _announce(plans: Sequence[PlannedShard], assignments: _Assigned, num_left_out: int) -> None:
    for split in dict.fromkeys(plan.split for plan in plans):
        members = [plan for plan in plans if plan.split == split]
        number = sum(plan.num_pairs for plan in members)
        print(f'{split}: {counted(number, "pair")} in {counted(len(members), "shard")}')
    if num_left_out:
        total = num_left_out + assignments.num_pairs
        verb = 'is' if num_left_out == 1 else 'are'
        of = f'{num_left_out} of {counted(total, "pair")}'
        print(f'{of} {verb} in no list: left out, see {manifest.REJECTED_FILE}')
    num_images, num_groups = assignments.num_duplicates
    if num_groups:
        groups = counted(num_groups, 'group')
        print(f'{num_images} images are identical or nearly identical to others: {groups}')
    for warning in assignments.warnings:
        _warn(warning)


def _warn(message: str) -> None:
    print(f'warning: {message}', file=sys.stderr)


def _report_unowned(config: JobConfig, own: Sequence[PlannedShard]) -> None:
    """Says what other commands left or are making in the work directory; removes it if that is asked for."""
    known = {name for shard in own for name in (shard.fingerprint, *shard.unit_fingerprints, shard.plan)}
    paths = work_dir.unowned(config.work_dir, known)
    if not paths:
        return
    what = (
        f'{config.work_dir}: {counted(len(paths), "file")} of other commands, {work_dir.num_bytes(paths) / 1e6:.1f} MB'
    )
    if config.clean:
        work_dir.clean(config.work_dir, known)
        print(f'{what}, removed')
    else:
        print(f'{what}; --clean removes them')


def _clear_place(config: JobConfig) -> None:
    """With --clean, removes what a killed command left where the data set goes; else its end says what is to do.

    Raises:
        UserError: if something else is there.
    """
    dataset_dir = config.build.dataset_dir
    with storage.writing(dataset_dir):
        left = object_commit.tidy(dataset_dir)
        if left is not None and config.clean:
            object_commit.abandon(dataset_dir, left)
            print(f'{dataset_dir}: an unfinished data set ({left}), removed')
        place.check(dataset_dir)


def _compare_existing(config: JobConfig, pairs: Sequence[SourcePair], rejected: Sequence[rejects.Reject]) -> Outcome:
    """The outcome where a data set is there already: unchanged, refused as a fresh run, or a mistake of the user."""
    build = config.build
    found = existing.compare(build, pairs, rejected)
    # What a fresh run would refuse is refused with the same messages, however good the data set that is there.
    is_refused = not found.difference and not config.allow_rejects and rejects.unintended(found.rejects)
    if not is_refused and (difference := found.difference or found.rejects_difference):
        raise errors.UserError(
            f'{build.dataset_dir}: there is a data set made from something else: {difference}; '
            'remove it, or give another --dataset_version or --output_dir'
        )
    work_dir.remove_stale(config.work_dir)  # of a command that was killed after it had published
    _report_unowned(config, [])
    present = manifest.read(build.dataset_dir)
    if missing := ' and '.join(empty_splits.missing(config.splits, present.split_names)):
        without = f'{build.dataset_dir}: the data set that is there was made without {missing}'
        if not config.allow_empty_splits:
            raise errors.UserError(f'{without}, for which there was no pair; accept that with --allow_empty_splits')
        _warn(without)
    counts = {split: present.num_records(split) for split in present.split_names}
    if is_refused:
        return Outcome(
            Result.REJECTED,
            build.dataset_dir,
            counts,
            found.rejects,
            rejects_difference=found.rejects_difference or '',
        )
    shares = ignored.Shares.of(ignored.of_dataset(build.dataset_dir, present))
    return Outcome(
        Result.UNCHANGED,
        build.dataset_dir,
        counts,
        found.rejects,
        fingerprint=present.fingerprint,
        warnings=(*found.warnings, *ignored.warnings(shares.standing_out(), len(shares.values))),
    )
