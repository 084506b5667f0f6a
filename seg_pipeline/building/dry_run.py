"""The other end of the pipeline: a dry run leaves a report, and no data set.

`OUTPUT_DIR/DATASET_NAME/HEIGHTxWIDTH/dry_run` holds rejected.jsonl, statistics.json and report/index.html as the data
set would, but no shard, no manifest, and nothing that TFDS looks for.
"""

import contextlib
import os

from seg_pipeline import storage
from seg_pipeline.building import describe, markers, publish
from seg_pipeline.building.markers import Outcome, Result, Summaries
from seg_pipeline.building.publish import PublishRequest
from seg_pipeline.card import page
from seg_pipeline.dataset import ignored, manifest


def write_report(request: PublishRequest, made: Summaries) -> Outcome:
    """Writes the report and removes what the workers left.

    Args:
        request: as for a publication.
        made: the shards that would be, and what was counted.

    Raises:
        UserError: if it cannot be written.
    """
    config = request.config
    summaries = sorted(made.shards, key=lambda summary: summary.shard.name)
    what = request.description(made)
    splits = describe.split_summaries(what, summaries)
    shards = tuple(summary.shard for summary in summaries)
    shares = markers.read_ignored_shares(config.check_dir, summaries)
    mostly_ignored = shares.standing_out()
    card = page.DataCard(
        manifest=describe.describe_manifest(config, shards, fingerprint='none: dry run'),
        total=describe.total_summary(what),
        splits=splits,
        mostly_ignored=list(mostly_ignored),
        rejects=what.rejects,
        command=what.provenance.shown_command,
    )
    files = {
        manifest.REJECTED_FILE: describe.rejected_lines(what.rejects),
        manifest.STATISTICS_FILE: describe.statistics_json(splits),
        manifest.CARD_FILE: page.render(card),
    }
    with storage.writing(config.report_dir):
        for name, data in files.items():
            storage.write(os.path.join(config.report_dir, name), data)
    for summary in summaries:
        with contextlib.suppress(OSError):
            storage.remove(markers.marker_path(config.check_dir, summary.fingerprint))
    # Notes of pairs that end a process stay: the next dry run would end with one of its processes again.
    counts = publish.count_records(summaries)
    warnings = ignored.warnings(mostly_ignored, len(shares.values))
    return Outcome(Result.CHECKED, config.report_dir, counts, what.rejects, warnings=warnings)
