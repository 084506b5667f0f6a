"""The job without its command: what `run` returns, for each way in which a job can end."""

import cv2
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from beam_jobs import pipeline, runners
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.building.markers import Result
from seg_pipeline.dataset import manifest, place, provenance
from seg_pipeline.imaging import rejects
from seg_pipeline.labels import label_map
from seg_pipeline.planning.split_options import SplitOptions
from tests import fake_data


@pytest.fixture
def source(tmp_path):
    fake_data.write_pairs(tmp_path / 'source', num_pairs=10)
    return tmp_path / 'source'


def _run(source, **options):
    splitting = SplitOptions()
    build = BuildConfig(
        SourceFolders(str(source / 'images'), str(source / 'masks')),
        str(source.parent / 'out'),
        RecordOptions(label_map.read(str(source / 'labels.csv')), image_size=(16, 16)),
        split_options=splitting.to_json(),
    )
    beam_options: PipelineOptions = runners.parse_options(['--direct_num_workers=1'])
    return build, pipeline.run(pipeline.JobConfig(build, splitting, **options), beam_options)


def _spoil(source, *numbers):
    for number in numbers:
        cv2.imwrite(str(source / 'masks' / f'seg_{number:04d}.png'), np.full((48, 40), 99, np.uint8))


def test_published_then_unchanged(source):
    build, first = _run(source, command='make it')
    assert (first.result, first.directory) == (Result.PUBLISHED, build.dataset_dir)
    assert first.num_records == {'train': 8, 'validation': 2}
    assert first.fingerprint == manifest.read(build.dataset_dir).fingerprint
    assert provenance.read(build.dataset_dir).command == 'make it'
    _, again = _run(source)
    assert (again.result, again.directory, again.num_records) == (
        Result.UNCHANGED,
        build.dataset_dir,
        first.num_records,
    )
    assert again.fingerprint == first.fingerprint


def test_rejected_then_published_without_them_then_refused_again(source):
    _spoil(source, 4)
    build, refused = _run(source)
    assert (refused.result, refused.directory, refused.fingerprint) == (Result.REJECTED, '', '')
    assert [(reject.key, reject.reason) for reject in refused.rejects] == [('0004', rejects.UNKNOWN_ID)]
    assert not place.is_taken(build.dataset_dir)
    _, accepted = _run(source, allow_rejects=True)
    assert accepted.result is Result.PUBLISHED
    assert sum(accepted.num_records.values()) == 9
    assert accepted.rejects == refused.rejects
    _, unchanged = _run(source, allow_rejects=True)
    assert (unchanged.result, unchanged.rejects) == (Result.UNCHANGED, refused.rejects)
    _, refused_again = _run(source)
    assert (refused_again.result, refused_again.rejects) == (Result.REJECTED, refused.rejects)


def test_emptied(source):
    _spoil(source, *range(1, 11))
    build, outcome = _run(source, allow_rejects=True)
    assert (outcome.result, outcome.emptied_splits) == (Result.EMPTIED, ('train', 'validation'))
    assert not place.is_taken(build.dataset_dir)


def test_checked(source):
    _spoil(source, 4)
    build, outcome = _run(source, dry_run=True)
    assert (outcome.result, outcome.directory) == (Result.CHECKED, build.report_dir)
    assert sum(outcome.num_records.values()) == 9
    assert [reject.key for reject in outcome.rejects] == ['0004']
    assert not place.is_taken(build.dataset_dir)
    assert sorted(path.name for path in (source.parent / 'out' / 'clothing_parsing' / '16x16').iterdir()) == ['dry_run']
