"""Which pairs may have ended a process of an earlier run, or of this one: what the notes say, for messages."""

import sys
from collections.abc import Sequence

from seg_pipeline import trial
from seg_pipeline.cross_check import comparison
from seg_pipeline.planning.plan_files import PlannedShard, PlannedUnit
from seg_pipeline.storage import attempts

# What is done about what is named.
THEN = 'the same command reads that in a process of its own and, if that ends too or takes too long, goes on without'
_LISTED = 5


def announce(work_dir: str, shards: Sequence[PlannedShard]) -> None:
    """Says on stderr what is read in processes of its own, which takes longer, and up to a limit if it does not end."""
    if found := _found(work_dir, shards):
        print(
            f'warning: a process of an earlier run ended while it was at {_listed(found)}: this time, that and what '
            f'came just before is read in a process of its own, each pair for at most {trial.TIME_LIMIT:g} seconds',
            file=sys.stderr,
        )


def explain(work_dir: str, shards: Sequence[PlannedShard]) -> str:
    """What to add to the message that a worker process was lost; empty if no note tells."""
    if found := _found(work_dir, shards):
        return f', while at {_listed(found)}: {THEN}'
    return ''


def _found(work_dir: str, shards: Sequence[PlannedShard]) -> list[str]:
    """At what processes died, each once."""
    work: list[PlannedShard | PlannedUnit] = [*shards, *(unit for shard in shards for unit in shard.units)]
    by_name = {one.fingerprint: (one, False) for one in work}
    by_name |= {comparison.noted_as(one.fingerprint): (one, True) for one in work}
    found = []
    for name, keys in attempts.last_keys(work_dir, by_name.keys()):
        one, is_compared = by_name[name]
        plan = one.load()
        named = [pair for pair in plan.pairs if pair.key in keys]
        if len(named) == 1:
            what = f'image {named[0].image}, mask {named[0].mask}'
            found.append(f'the comparison of mask {named[0].mask} with its record' if is_compared else what)
        elif named:
            found.append(f'one of the {len(named)} pairs of {plan.name}')
    return list(dict.fromkeys(found))


def _listed(found: Sequence[str]) -> str:
    more = f' and {len(found) - _LISTED} more' if len(found) > _LISTED else ''
    return '; '.join(found[:_LISTED]) + more
