"""What a dry run leaves: everything that would be said of the data set, in a place where nobody takes it for one.

`OUTPUT_DIR/DATASET_NAME/HEIGHTxWIDTH/dry_run` holds rejected.jsonl, statistics.json and report/index.html as the data
set would, but no shard, no manifest, and nothing that TFDS looks for.
"""

import contextlib
import json
import os
from collections.abc import Sequence

from seg_pipeline import storage
from seg_pipeline.building import preparation, publish
from seg_pipeline.building.preparation import Preparation, ShardSummary
from seg_pipeline.building.publish import Publication
from seg_pipeline.card import page
from seg_pipeline.dataset import manifest, tfds_metadata
from seg_pipeline.dataset import statistics as statistics_lib
from seg_pipeline.imaging.rejects import Reject

DIRECTORY = 'dry_run'


def report_dir(job: Preparation) -> str:
    """Where the report of a dry run goes: beside the data set."""
    return os.path.join(os.path.dirname(job.dataset_dir), DIRECTORY)


def write_report(what: Publication, summaries: Sequence[ShardSummary]) -> str:
    """Writes the report and removes what the workers left.

    Args:
        what: as for a publication.
        summaries: of all shards that would be.

    Returns:
        The directory of the report.

    Raises:
        UserError: if it cannot be written.
    """
    directory = report_dir(what.job)
    summaries = sorted(summaries, key=lambda summary: summary.shard.name)
    rejected = publish.sorted_rejects([*what.rejects, *(r for summary in summaries for r in summary.rejects)])
    splits = publish.split_statistics(what.job, summaries)
    card = page.DataCard(
        manifest=_manifest(what.job, summaries),
        total=statistics_lib.merged(summary.statistics for summary in summaries).result(what.job.label_map),
        splits=splits,
        rejects=rejected,
        command=what.command,
    )
    files = {
        manifest.REJECTED_FILE: ''.join(f'{reject.to_json()}\n' for reject in rejected).encode(),
        manifest.STATISTICS_FILE: manifest.canonical_json(splits),
        manifest.CARD_FILE: page.render(card),
    }
    with storage.writing(directory):
        for name, data in files.items():
            storage.write(os.path.join(directory, name), data)
    for summary in summaries:
        with contextlib.suppress(OSError):
            storage.remove(preparation.marker_path(what.job, summary.fingerprint))
    return directory


def read_rejects(directory: str) -> list[Reject]:
    """The rejects of a report."""
    lines = storage.read_bytes(os.path.join(directory, manifest.REJECTED_FILE)).splitlines()
    return [Reject(**json.loads(line)) for line in lines]


def count_records(directory: str) -> dict[str, int]:
    """How many pairs of each split a report found good."""
    found = json.loads(storage.read_bytes(os.path.join(directory, manifest.STATISTICS_FILE)))
    return {split: figures['num_records'] for split, figures in found.items()}


def _manifest(job: Preparation, summaries: Sequence[ShardSummary]) -> manifest.Manifest:
    """What the card says of the data set that would be; never written."""
    return manifest.Manifest(
        dataset_name=job.dataset_name,
        config_name=tfds_metadata.config_name(job.image_size),
        version=job.version,
        fingerprint='none: dry run',
        options={**job.record_options(), **job.split_options},
        library_versions=preparation.library_versions(job.file_format),
        label_map=job.label_map,
        shards=tuple(summary.shard for summary in summaries),
        files={},
    )
