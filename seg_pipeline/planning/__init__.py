"""From two listings to a plan: which files are a pair, which split and which shard it goes to. Nothing is decoded here.

`pairing` finds the pairs, `grouping` what must stay together, `splits` and `stratification` decide the splits,
`assignment` says why, `sharding` cuts each split into shards.
"""
