"""From pairs to a published data set: what a worker does with each pair and shard, and what is done once at the end.

`config` says what is to be built. A worker calls `shard`, which calls `pair` and leaves `markers`; `content_scan` runs
before, where splits depend on contents. At the end `publish` (on object stores by `object_commit`) puts together what
`describe` writes and makes it visible, or `dry_run` leaves a report instead. `work_dir` keeps commands apart,
`fingerprints` say what has to be made again, `existing` and `repair` look at a data set that is there.
"""

__all__ = [
    'config',
    'content_scan',
    'describe',
    'dry_run',
    'existing',
    'fingerprints',
    'markers',
    'object_commit',
    'pair',
    'publish',
    'repair',
    'shard',
    'work_dir',
]
