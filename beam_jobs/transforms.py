"""The steps of the pipeline. They wire; what is done stands in `seg_pipeline.preparation` and `.publication`."""

import dataclasses

import apache_beam as beam

from seg_pipeline.building import content_scan, dry_run, preparation, publish
from seg_pipeline.building.preparation import Preparation, ShardSummary
from seg_pipeline.building.publish import Publication
from seg_pipeline.planning.sharding import ShardPlan


@dataclasses.dataclass
class ScanPairs(beam.PTransform):
    """ShardPlan -> None: the findings of each batch are made, or found made, in the work directory."""

    job: Preparation
    what: content_scan.Scan

    def expand(self, batches: beam.PCollection[ShardPlan]) -> beam.PCollection[None]:
        return batches | beam.Map(lambda batch, job, what: content_scan.scan(job, what, batch), self.job, self.what)


@dataclasses.dataclass
class WriteShards(beam.PTransform):
    """ShardPlan -> ShardSummary: each shard is made, or found made, in the work directory."""

    job: Preparation

    def expand(self, plans: beam.PCollection[ShardPlan]) -> beam.PCollection[ShardSummary]:
        return plans | beam.Map(lambda plan, job: preparation.write_shard(job, plan), self.job)


@dataclasses.dataclass
class PublishDataset(beam.PTransform):
    """list[ShardSummary] -> the directory of the data set, or None if rejects forbid it."""

    publication: Publication

    def expand(self, summaries: beam.PCollection[list[ShardSummary]]) -> beam.PCollection[str | None]:
        return summaries | beam.Map(lambda found, what: publish.publish(what, found), self.publication)


@dataclasses.dataclass
class ReportFindings(beam.PTransform):
    """list[ShardSummary] of a dry run -> the directory of its report."""

    publication: Publication

    def expand(self, summaries: beam.PCollection[list[ShardSummary]]) -> beam.PCollection[str]:
        return summaries | beam.Map(lambda found, what: dry_run.write_report(what, found), self.publication)
