"""A short attack on each target with the same cases every time, and the attack itself: what it must notice."""

import json
import os
import pathlib
import re

import pytest

from tests.attack import __main__ as command
from tests.attack import broken, registry, supervisor
from tests.attack.supervisor import Tally
from tests.attack.target import random_of

# About two seconds of each: on a faster machine the same, so that what passes on one passes on the other.
_CASES = {'beam_flags': 150, 'manifests': 250, 'tfrecord': 1000, 'array_record': 1000}
_OTHER_CASES = 5000


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
    made = tmp_path_factory.mktemp('attack')
    supervisor.prepare(made)
    return made


@pytest.mark.parametrize('name', registry.TARGETS)
def test_nothing_escapes(directory, name):
    tally = Tally(name, seed=0)
    end = _CASES.get(name, _OTHER_CASES)
    supervisor.attack(tally, 600.0, directory, command.HANG_SECONDS, end)
    assert tally.escapes == []
    assert sum(tally.counts.values()) == tally.cases == end


@pytest.mark.parametrize('name', registry.TARGETS)
def test_a_case_follows_from_target_seed_and_number(directory, tmp_path, name):
    def cases(folder):
        (folder / name).mkdir(exist_ok=True)
        target = registry.TARGETS[name](folder / name)
        return [target.case(random_of(name, 3, index)) for index in range(20)]

    os.symlink(directory / 'data_sets', tmp_path / 'data_sets')
    first = cases(tmp_path)
    assert first == cases(directory)
    assert len(set(first)) > 10


@pytest.mark.parametrize('name', ['images', 'masks', 'mat', 'label_tables', 'remappings'])
def test_what_is_not_altered_is_accepted(tmp_path, name):
    target = registry.TARGETS[name](tmp_path)
    for number, seed in enumerate(target.seeds):
        if name == 'masks':  # is read by its ids or by its colours
            ways = [bytes([way]) + seed for way in (0, 1)]
        elif isinstance(seed, bytes):
            ways = [seed]
        else:
            ways = [target.unaltered(number)]
        assert 'accepted' in [target.check(way) for way in ways], number


def test_each_way_to_fail_is_pinned_on_its_case(tmp_path):
    tally = Tally('broken', seed=0)
    target = broken.Broken(tmp_path)
    wanted = {
        broken.RAISES: 'KeyError at broken.py',
        broken.IS_WRONG: 'WrongError at broken.py',
        broken.DIES: 'killed by SIGSEGV',
        broken.HANGS: 'took more than 5 s',
        broken.GROWS: r'took \d+ MB',
    }
    found = {}
    while len(found) < len(wanted):
        supervisor.attack(tally, 1.0, tmp_path, hang_seconds=5.0)
        found = {pathlib.Path(escape['file']).read_bytes()[0]: escape for escape in tally.escapes}
    assert found.keys() == wanted.keys()
    for kind, escape in found.items():
        assert re.match(wanted[kind], escape['escape'])
        assert target.case(random_of('broken', 0, escape['index'])) == bytes([kind])
    assert len({escape['index'] for escape in tally.escapes}) == len(tally.escapes)


def test_a_run_continues_where_its_log_ends(tmp_path):
    log = tmp_path / 'log.jsonl'
    (first,) = command.run(['remappings'], 0.5, 0, tmp_path, log)
    (second,) = command.run(['remappings'], 0.5, 0, tmp_path, log)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line['following'] for line in lines] == [first.following, second.following]
    assert second.cases > first.cases > 0
    assert f'| remappings | {second.cases} |' in command.table([second])
