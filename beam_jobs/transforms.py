"""The steps of the pipeline. They wire; `seg_pipeline.building` decides."""

import dataclasses
from collections.abc import Iterable

import apache_beam as beam
import cv2

from seg_pipeline.building import content_scan, dry_run, markers, publish, shard
from seg_pipeline.building.config import RecordOptions, SourceFolders
from seg_pipeline.building.content_scan import Scan
from seg_pipeline.building.markers import ShardSummary, Summaries
from seg_pipeline.building.publish import PublishRequest
from seg_pipeline.planning.plan_files import Plan, PlannedShard, PlannedUnit


def _use_one_thread() -> None:
    """The unit of parallel work is a shard: threads of OpenCV within one image would compete with other workers."""
    cv2.setNumThreads(1)


@dataclasses.dataclass
class ReadPlan(beam.PTransform):
    """PBegin -> PlannedShard: the shards of a plan, one by one to the workers.

    The graph names the plan alone, so that it does not grow with the data; engines limit it to some megabytes. Places
    travel, never pixels.
    """

    plan: Plan

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[PlannedShard]:
        plans = begin | beam.Create([self.plan], reshuffle=False)
        return plans | beam.FlatMap(lambda plan: plan.shards()) | beam.Reshuffle()


@dataclasses.dataclass
class ScanPairs(beam.PTransform):
    """PlannedShard -> None: the findings of each batch are made, or found made, in the work directory."""

    sources: SourceFolders
    options: RecordOptions
    work_dir: str
    what: Scan
    paranoid: bool = False

    def expand(self, batches: beam.PCollection[PlannedShard]) -> beam.PCollection[None]:
        return batches | beam.Map(_scan, self.sources, self.options, self.work_dir, self.what, self.paranoid)


def _scan(
    batch: PlannedShard, sources: SourceFolders, options: RecordOptions, work_dir: str, what: Scan, paranoid: bool
) -> None:
    _use_one_thread()
    content_scan.scan(sources, options, work_dir, what, batch.load(), paranoid=paranoid)


@dataclasses.dataclass
class WriteShards(beam.PTransform):
    """PlannedShard -> ShardSummary: each shard is made, or found made, in the work directory."""

    sources: SourceFolders
    options: RecordOptions
    work_dir: str
    paranoid: bool = False

    def expand(self, plans: beam.PCollection[PlannedShard]) -> beam.PCollection[ShardSummary]:
        return plans | beam.Map(_write, self.sources, self.options, self.work_dir, self.paranoid)


def _write(
    planned: PlannedShard, sources: SourceFolders, options: RecordOptions, work_dir: str, paranoid: bool
) -> ShardSummary:
    _use_one_thread()
    return shard.write(sources, options, work_dir, planned.load(), units=planned.load_units(), paranoid=paranoid)


@dataclasses.dataclass
class MakeUnits(beam.PTransform):
    """PlannedShard -> PlannedShard, when all of its parts are made: they go to as many workers as there are."""

    sources: SourceFolders
    options: RecordOptions
    work_dir: str
    paranoid: bool = False

    def expand(self, shards: beam.PCollection[PlannedShard]) -> beam.PCollection[PlannedShard]:
        return (
            shards
            | beam.FlatMap(lambda planned: planned.units)  # PlannedUnit
            | beam.Reshuffle()
            | beam.Map(_make_unit, self.sources, self.options, self.work_dir, self.paranoid)  # (str, PlannedShard)
            | beam.GroupByKey()
            | beam.MapTuple(lambda name, same: next(iter(same)))
        )


def _make_unit(
    unit: PlannedUnit, sources: SourceFolders, options: RecordOptions, work_dir: str, paranoid: bool
) -> tuple[str, PlannedShard]:
    _use_one_thread()
    shard.write_unit(sources, options, work_dir, unit, paranoid=paranoid)
    return unit.shard.name, unit.shard


@dataclasses.dataclass
class CheckShards(beam.PTransform):
    """PlannedShard -> ShardSummary: the pairs of each shard are read, checked and counted; no shard is made."""

    sources: SourceFolders
    options: RecordOptions
    work_dir: str

    def expand(self, plans: beam.PCollection[PlannedShard]) -> beam.PCollection[ShardSummary]:
        return plans | beam.Map(_check, self.sources, self.options, self.work_dir)


def _check(planned: PlannedShard, sources: SourceFolders, options: RecordOptions, work_dir: str) -> ShardSummary:
    _use_one_thread()
    return shard.check(sources, options, work_dir, planned.load())


class MergeSummaries(beam.CombineFn):
    """ShardSummary -> Summaries, added as they come: a worker sends the sum of what it made."""

    def create_accumulator(self) -> Summaries:
        return Summaries()

    def add_input(self, accumulator: Summaries, element: ShardSummary) -> Summaries:
        accumulator.add(element)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Summaries]) -> Summaries:
        result = Summaries()
        for accumulator in accumulators:
            result.merge(accumulator)
        return result

    def extract_output(self, accumulator: Summaries) -> Summaries:
        return accumulator


@dataclasses.dataclass
class PublishDataset(beam.PTransform):
    """Summaries -> None: the data set is published; the outcome is left for the command."""

    request: PublishRequest
    outcome_path: str

    def expand(self, summaries: beam.PCollection[Summaries]) -> beam.PCollection[None]:
        return summaries | beam.Map(_publish, self.request, self.outcome_path)


def _publish(summaries: Summaries, request: PublishRequest, outcome_path: str) -> None:
    markers.write_outcome(outcome_path, publish.publish(request, summaries))


@dataclasses.dataclass
class ReportFindings(beam.PTransform):
    """Summaries of a dry run -> None: the report is written; the outcome is left for the command."""

    request: PublishRequest
    outcome_path: str

    def expand(self, summaries: beam.PCollection[Summaries]) -> beam.PCollection[None]:
        return summaries | beam.Map(_report, self.request, self.outcome_path)


def _report(summaries: Summaries, request: PublishRequest, outcome_path: str) -> None:
    markers.write_outcome(outcome_path, dry_run.write_report(request, summaries))
