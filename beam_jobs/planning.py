"""From pairs to shard plans: what must be known of their contents is scanned by the workers first."""

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beam_jobs import progress, runners, transforms
from seg_pipeline import errors
from seg_pipeline.building import content_scan, work_dir
from seg_pipeline.building.preparation import Preparation
from seg_pipeline.imaging import perceptual_hash
from seg_pipeline.planning import assignment, grouping, splits
from seg_pipeline.planning.assignment import Placements
from seg_pipeline.planning.pairing import Pair
from seg_pipeline.planning.sharding import ShardPlan


@dataclasses.dataclass(frozen=True)
class SplitChoice:
    """How pairs come into splits.

    Attributes:
        shares: the share of each split, adding up to 1; None with lists.
        lists: official lists of names for each split, instead of shares.
        seed: decides, with the keys, splits and order.
        group_regex: its first group, found in an image's path, names what stays on one side.
        near_duplicates: `group` keeps photos on one side that are nearly the same.
        max_distance: how many of 64 bits of their perceptual hashes may differ then.
        stratify: `rare` puts every class that at least two groups have into each split.
    """

    shares: Mapping[str, Fraction] | None
    lists: Mapping[str, Sequence[str]] | None = None
    seed: int = 0
    group_regex: str | None = None
    near_duplicates: str = 'off'
    max_distance: int = perceptual_hash.DEFAULT_MAX_DISTANCE
    stratify: str = 'none'

    def __post_init__(self) -> None:
        if self.lists is not None and (self.group_regex or self.stratify != 'none'):
            raise errors.UserError('--split_files decides alone: leave out --group_regex and --stratify')

    @property
    def names(self) -> list[str]:
        """The names of the splits."""
        return list(self.shares or {} if self.lists is None else self.lists)

    @property
    def scan(self) -> content_scan.Scan | None:
        """What must be known of the contents, if anything."""
        what = content_scan.Scan(hashes=self.near_duplicates != 'off', classes=self.stratify != 'none')
        return what if what.hashes or what.classes else None

    def to_json(self) -> dict[str, Any]:
        """What the manifest says of it."""
        decided = (
            {'splits': {name: str(share) for name, share in (self.shares or {}).items()}}
            if self.lists is None
            else {'split_files': {name: list(names) for name, names in self.lists.items()}}
        )
        names = ('seed', 'group_regex', 'near_duplicates', 'max_distance', 'stratify')
        return {**decided, **{name: getattr(self, name) for name in names}}

    def members(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs that are in some split."""
        if self.lists is None:
            return list(pairs)
        listed = splits.from_lists(pairs, self.lists)
        return [pair for pair in pairs if pair.key in listed]


def scan(job: Preparation, choice: SplitChoice, pairs: Sequence[Pair], options: PipelineOptions) -> list[ShardPlan]:
    """Finds out what `choice` must know of the contents, on the engine that the options name.

    Returns:
        The scanned batches; their results lie in the work directory.
    """
    what = choice.scan
    if what is None:
        return []
    batches = content_scan.plan(job, what, pairs)
    shown = progress.Progress(job, batches, path_of=content_scan.result_path, unit='batches scanned')
    with work_dir.held(job.work_dir), shown:
        runners.run(
            lambda pipeline: (
                pipeline
                | 'Batches' >> beam.Create(batches, reshuffle=False)  # ShardPlan
                | beam.Reshuffle()
                | transforms.ScanPairs(job, what)  # None
            ),
            options,
        )
    return batches


def place(job: Preparation, choice: SplitChoice, pairs: Sequence[Pair], batches: Sequence[ShardPlan]) -> Placements:
    """Decides the split of each pair.

    Args:
        job: the preparation.
        choice: how.
        pairs: the pairs.
        batches: what `scan` returned.

    Raises:
        UserError: if an expression or a list does not fit the pairs.
    """
    names = grouping.by_expression(pairs, choice.group_regex) if choice.group_regex else {}
    found = content_scan.read(job, batches)
    links = grouping.identical_files(job.images, pairs)
    if choice.near_duplicates == 'group':
        links += grouping.near_duplicates(found.hashes, choice.max_distance)
    formed = grouping.form(names, links)
    if choice.lists is not None:
        return assignment.by_lists(pairs, choice.lists, formed)
    classes = found.classes if choice.stratify == 'rare' else None
    keys = [pair.key for pair in pairs]
    return assignment.by_shares(
        keys, choice.shares or {}, choice.seed, formed, classes=classes, class_names=job.label_map.names
    )
