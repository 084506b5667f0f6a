import multiprocessing
import os
import pathlib
import signal
import time

import pytest

from seg_pipeline.storage import attempts

_KEYS = ['a', 'b\n', 'ü', 'd']


def _killed_at(directory, key):
    """An attempt in a process of its own, killed while it is at a pair."""

    def attempt():
        with attempts.noted(directory, 'f', _KEYS) as is_suspect:
            for known in _KEYS:
                is_suspect(known)
                if known == key:
                    os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context('fork').Process(target=attempt)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _suspects(directory, fingerprint='f'):
    with attempts.noted(directory, fingerprint, _KEYS) as is_suspect:
        return [key for key in _KEYS if is_suspect(key)]


@pytest.mark.parametrize('key', _KEYS)
def test_the_pair_of_a_killed_attempt_is_suspect_until_an_attempt_ends_well(tmp_path, key):
    work = str(tmp_path / 'work')
    _killed_at(work, key)
    assert _suspects(work, 'other') == []
    assert _suspects(work) == [key]
    assert _suspects(work) == []
    assert os.listdir(work) == []


def test_every_killed_attempt_counts(tmp_path):
    for key in ('d', 'b\n'):
        _killed_at(str(tmp_path), key)
    assert _suspects(str(tmp_path)) == ['b\n', 'd']


def test_an_attempt_that_fails_leaves_the_notes_of_dead_ones(tmp_path):
    _killed_at(str(tmp_path), 'a')
    with pytest.raises(KeyError), attempts.noted(str(tmp_path), 'f', _KEYS):
        raise KeyError
    assert _suspects(str(tmp_path)) == ['a']


def test_attempts_at_once_do_not_disturb_each_other(tmp_path):
    with attempts.noted(str(tmp_path), 'f', _KEYS) as first:
        first('b\n')
        assert _suspects(str(tmp_path)) == ['b\n']  # the living one costs a process, and may lose its note
        assert not first('d')


def test_what_is_known_to_end_a_process_is_suspect(tmp_path):
    with attempts.noted(str(tmp_path), 'f', _KEYS, suspects=('d',)) as is_suspect:
        assert is_suspect('d')
        assert not is_suspect('a')


@pytest.mark.parametrize('damaged', [b'', b'["a"]\n["b', b'\xff\n'])
def test_a_note_that_was_cut_off_names_nothing(tmp_path, damaged):
    (tmp_path / f'f.x{attempts.SUFFIX}').write_bytes(damaged)
    assert _suspects(str(tmp_path)) == []


def test_in_an_object_store_one_note_names_all_pairs(remote):
    work = f'{remote.url}/work'
    with attempts.noted(work, 'f', _KEYS) as is_suspect:
        assert not any(map(is_suspect, _KEYS))
        assert len([name for name in remote.names() if name.endswith(attempts.SUFFIX)]) == 1
        assert _suspects(work) == _KEYS  # as another attempt sees it, whether this one is alive or dead
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
