import json
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from seg_pipeline.storage import attempts, files

_KEYS = ['a', 'b\n', 'ü', 'd', *(f'e{number}' for number in range(8))]


def _killed_at(directory, key, fingerprint='f'):
    """An attempt in a process of its own, killed while it is at a pair."""

    def attempt():
        with attempts.noted(directory, fingerprint, _KEYS) as is_suspect:
            for known in _KEYS:
                is_suspect(known)
                if known == key:
                    os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context('fork').Process(target=attempt)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _suspects(directory, fingerprint='f', kept=()):
    with attempts.noted(directory, fingerprint, _KEYS) as attempt:
        for key in kept:
            attempt.keep(key)
        return [key for key in _KEYS if attempt(key)]


@pytest.mark.parametrize('key', _KEYS)
def test_the_pair_of_a_killed_attempt_and_some_before_are_suspect_until_an_attempt_ends_well(tmp_path, key):
    """A signal may come, and spoiled memory may be used, when the next pairs were begun."""
    work = str(tmp_path / 'work')
    _killed_at(work, key)
    expected = _KEYS[: _KEYS.index(key) + 1][-5:]
    assert _suspects(work, 'other') == expected  # of another pass over the pairs
    assert _suspects(work) == expected
    assert _suspects(work) == _suspects(work, 'other') == []
    assert os.listdir(work) == []


def test_every_killed_attempt_counts(tmp_path):
    work = str(tmp_path)
    for key in ('a', 'e3', 'a'):
        _killed_at(work, key)
    with attempts.noted(work, 'other', _KEYS) as attempt:
        assert attempt.num_deaths('a') == 0  # the pair had other files then, maybe
    with attempts.noted(work, 'f', _KEYS) as attempt:
        assert [attempt.num_deaths(key) for key in ('a', 'e2', 'e3')] == [2, 0, 1]
    assert attempts.last_keys(work, {'f'}) == []
    _killed_at(work, 'a')
    _killed_at(work, 'e3')
    assert sorted(attempts.last_keys(work, {'f', 'g'})) == [('f', ('a',)), ('f', ('e3',))]
    assert attempts.last_keys(work, {'g'}) == []
    assert _suspects(work) == ['a', *_KEYS[3:8]]


def test_notes_of_a_pair_that_does_end_a_process_stay(tmp_path):
    work = str(tmp_path)
    _killed_at(work, 'a')
    _killed_at(work, 'e7')
    assert _suspects(work, kept=['a']) == ['a', *_KEYS[7:]]
    for _ in range(2):
        assert _suspects(work, 'other', kept=['a']) == _suspects(work, kept=['a']) == ['a']
    assert _suspects(work) == ['a']
    assert _suspects(work) == []


def test_an_attempt_that_fails_leaves_the_notes_of_dead_ones(tmp_path):
    _killed_at(str(tmp_path), 'a')
    with pytest.raises(KeyError), attempts.noted(str(tmp_path), 'f', _KEYS):
        raise KeyError
    assert _suspects(str(tmp_path)) == ['a']


def test_attempts_at_once_do_not_disturb_each_other(tmp_path):
    with attempts.noted(str(tmp_path), 'f', _KEYS) as first:
        first('b\n')
        assert _suspects(str(tmp_path)) == []  # a living one is at it
        assert len(os.listdir(tmp_path)) == 1
        assert attempts.last_keys(str(tmp_path), {'f'}) == []
        assert not first('d')


_WITHDRAWN = """
import os, sys, threading, time
from seg_pipeline.storage import attempts

def make_notes():
    while True:
        with attempts.noted(sys.argv[1], 'g', ['c']) as attempt:
            attempt('c')

with attempts.noted(sys.argv[1], 'f', ['a', 'd']) as attempt:
    attempt('a')
    for _ in range(4):
        threading.Thread(target=make_notes, daemon=True).start()
    time.sleep(0.1)
    attempts.withdraw()
    attempt('d')
    time.sleep(0.1)
    print(os.listdir(sys.argv[1]), flush=True)
    os._exit(0)
"""


def test_who_is_ended_from_outside_withdraws_its_notes_and_makes_no_more(tmp_path):
    command = [sys.executable, '-c', _WITHDRAWN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == '[]\n'
    assert os.listdir(tmp_path) == []


def test_what_is_known_to_end_a_process_is_suspect(tmp_path):
    with attempts.noted(str(tmp_path), 'f', _KEYS, suspects=('d',)) as is_suspect:
        assert is_suspect('d')
        assert not is_suspect('a')


@pytest.mark.parametrize(('damaged', 'named'), [(b'', []), (b'["a"]\n["b', ['a']), (b'\xff\n', []), (b'["b', [])])
def test_a_line_that_was_cut_off_names_nothing(tmp_path, damaged, named):
    (tmp_path / f'f.x{attempts.SUFFIX}').write_bytes(damaged)
    assert _suspects(str(tmp_path)) == named


def test_in_an_object_store_one_note_names_all_pairs(remote):
    work = f'{remote.url}/work'
    with attempts.noted(work, 'f', _KEYS) as is_suspect:
        assert not any(map(is_suspect, _KEYS))
        assert len([name for name in remote.names() if name.endswith(attempts.SUFFIX)]) == 1
        assert _suspects(work) == _KEYS  # as another attempt sees it, whether this one is alive or dead
        files.write(f'{work}/f.0{attempts.SUFFIX}', json.dumps(_KEYS).encode())
        with attempts.noted(work, 'f', _KEYS) as other:
            assert other('a')
            assert not any(map(other.num_deaths, _KEYS))  # of all of them, no one knows which it was
    assert not [name for name in remote.names() if name.endswith(attempts.SUFFIX)]


def test_a_note_costs_less_than_a_hundredth_of_a_pair(tmp_path):
    with attempts.noted(str(tmp_path), 'f', _KEYS) as is_suspect:
        started = time.process_time()
        for _ in range(1000):
            is_suspect('a key of usual length')
        seconds = time.process_time() - started
    assert seconds / 1000 < 80e-6  # a pair takes 8 ms


def test_the_notes_of_finished_work_are_forgotten(tmp_path):
    _killed_at(str(tmp_path), 'a')
    attempts.forget(str(tmp_path), {'other'})
    assert len(os.listdir(tmp_path)) == 1
    attempts.forget(str(tmp_path), {'f', 'other'})
    assert os.listdir(tmp_path) == []
    attempts.forget(str(tmp_path / 'missing'), {'f'})


def test_notes_are_in_the_directory_and_named_by_the_work(tmp_path):
    _killed_at(str(tmp_path), 'a')
    (note,) = pathlib.Path(tmp_path).iterdir()
    assert note.name.startswith('f.')


_AT_PAIRS = """
import sys, threading, time
from seg_pipeline.storage import attempts

def be_at(key):
    with attempts.noted(sys.argv[1], key, [key]) as attempt:
        attempt(key)
        time.sleep(60)

for key in ('long', 'short'):
    threading.Thread(target=be_at, args=(key,), daemon=True).start()
    time.sleep(0.5)
attempts._LONG_SECONDS = 0.7
attempts.withdraw()
"""


def test_who_is_ended_from_outside_leaves_the_note_of_a_pair_that_it_was_at_for_long(tmp_path):
    subprocess.run([sys.executable, '-c', _AT_PAIRS, str(tmp_path)], check=True, timeout=60)
    assert attempts.last_keys(str(tmp_path), {'long', 'short'}) == [('long', ('long',))]


def _end_by(error, work):
    with attempts.noted(work, 'f', _KEYS) as attempt:
        attempt('a')
        raise error


@pytest.mark.parametrize('error', [KeyboardInterrupt, ValueError])
def test_an_interrupt_leaves_the_note_of_a_pair_that_takes_long(tmp_path, monkeypatch, error):
    left = []
    for seconds in (1e6, 0.0):
        monkeypatch.setattr(attempts, '_LONG_SECONDS', seconds)
        with pytest.raises(error):
            _end_by(error, str(tmp_path))
        left.append(attempts.last_keys(str(tmp_path), {'f'}))
    assert left == [[], [('f', ('a',))] if error is KeyboardInterrupt else []]
