"""Attacks everything that reads what others wrote, with inputs that are altered at random.

    python -m tests.attack --seconds=3600 --seed=1 [--target=images --target=masks] [--log=FILE] [--directory=DIR]

Each target has good inputs, a way to alter them, and a check: only the documented errors, within a time and a size, and
what is accepted is what a second reader finds. Prints a table of counts; exit code 1 if there was an escape, whose
bytes are in DIR/escapes. A run with the LOG of another one continues it.
"""

import argparse
import json
import pathlib
import re
import sys
import tempfile
import time

from tests.attack import registry, supervisor
from tests.attack.supervisor import Tally

HANG_SECONDS = 20.0
_SLICE_SECONDS = 30.0  # the targets take turns, so that a run that is broken off has reached all of them


def run(
    names: list[str], seconds: float, seed: int, directory: pathlib.Path, log: pathlib.Path | None = None
) -> list[Tally]:
    """Attacks targets in turn, as long each.

    Args:
        names: of the targets.
        seconds: for all of them together.
        seed: what all cases follow from.
        directory: where inputs are written, and escapes kept.
        log: a file of JSON lines, one for each turn; what it has already is continued.

    Returns:
        What became of each target.
    """
    directory.mkdir(parents=True, exist_ok=True)
    supervisor.prepare(directory)
    tallies = _continued(names, seed, log)
    left = dict.fromkeys(names, seconds / len(names))
    while any(left.values()):
        for tally in tallies:
            turn = min(left[tally.target], _SLICE_SECONDS)
            if turn > 0:
                left[tally.target] -= turn
                supervisor.attack(tally, turn, directory, HANG_SECONDS)
                _note(tally, log)
    return tallies


def _continued(names: list[str], seed: int, log: pathlib.Path | None) -> list[Tally]:
    found = {name: Tally(name, seed) for name in names}
    if log is not None and log.exists():
        for line in log.read_text().splitlines():
            value = json.loads(line)
            if value['seed'] == seed and value['target'] in found:
                tally = found[value['target']]
                tally.following, tally.escapes = value['following'], value['escapes']
                tally.counts.clear()
                tally.counts.update(value['counts'])
    return list(found.values())


def _note(tally: Tally, log: pathlib.Path | None) -> None:
    if log is not None:
        with log.open('a') as file:
            file.write(json.dumps({**vars(tally), 'time': time.strftime('%Y-%m-%d %H:%M:%S')}) + '\n')


def table(tallies: list[Tally]) -> str:
    """The counts as Markdown."""
    rows = ['| target | cases | accepted | refused, by reason | escapes |', '|---|---|---|---|---|']
    for tally in tallies:
        reasons = ', '.join(
            f'{outcome} {count}' for outcome, count in tally.counts.most_common() if not outcome.startswith('accepted')
        )
        rows.append(f'| {tally.target} | {tally.cases} | {tally.accepted} | {reasons} | {len(tally.escapes)} |')
    return '\n'.join(rows)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m tests.attack', description=__doc__.partition('\n')[0])
    parser.add_argument('--seconds', type=float, default=60.0, help='for all targets together')
    parser.add_argument('--seed', type=int, default=1, help='what all cases follow from')
    parser.add_argument('--target', action='append', choices=sorted(registry.TARGETS), help='default: all')
    parser.add_argument('--log', type=pathlib.Path, help='lines of JSON; a run with the same file continues')
    parser.add_argument('--directory', type=pathlib.Path, help='where escapes are kept; default: a new one')
    return parser.parse_args()


def main() -> int:
    options = _parsed()
    directory = options.directory or pathlib.Path(tempfile.mkdtemp(prefix='attack-'))
    tallies = run(options.target or list(registry.TARGETS), options.seconds, options.seed, directory, options.log)
    print(table(tallies))
    for tally in tallies:
        seen: set[str] = set()
        for escape in tally.escapes:
            what = str(escape['escape'])
            # One line for each kind: what differs in numbers and values alone is one.
            if (kind := re.sub(r"[0-9]+|'.*'", '', what)) not in seen:
                seen.add(kind)
                print(f'ESCAPE {tally.target} seed {escape["seed"]} case {escape["index"]}: {what}: {escape["file"]}')
    return 1 if any(tally.escapes for tally in tallies) else 0


if __name__ == '__main__':
    sys.exit(main())
