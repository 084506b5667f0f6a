"""From two listings to a plan: which files are a pair, which split and which shard it goes to. Nothing is decoded here.

`pairing` finds the pairs (with `trimming` and `path_patterns`), `grouping` what must stay in one split (with
`spanning_forest`); `splits` and `stratification` compute the splits, `assignment` adds the reasons; `split_options`
holds the options of all that; `sharding` cuts each split into shards, `empty_splits` refuses one without a pair;
`plan_files` keeps the plan where the workers read it.
"""

__all__ = [
    'assignment',
    'empty_splits',
    'grouping',
    'pairing',
    'path_patterns',
    'plan_files',
    'sharding',
    'spanning_forest',
    'split_options',
    'splits',
    'stratification',
    'trimming',
]
