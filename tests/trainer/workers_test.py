import json
import socket

import pytest

from seg_pipeline import errors
from trainer import options
from trainer.workers import Workers

_TWO = ('a.example:2222', '[::1]:2223')


@pytest.mark.parametrize('index', [0, 1])
def test_what_the_flags_say(monkeypatch, index):
    monkeypatch.delenv('TF_CONFIG', raising=False)
    found = Workers.find(_TWO, index)
    assert (found.addresses, found.index, found.is_chief) == (_TWO, index, index == 0)
    assert str(found) == f'worker {index} of 2 ({_TWO[index]})'


@pytest.mark.parametrize(
    ('cluster', 'task', 'index'),
    [
        ({'worker': ['a:1', 'b:1', 'c:1']}, ('worker', 2), 2),
        ({'chief': ['a:1'], 'worker': ['b:1', 'c:1']}, ('chief', 0), 0),
        ({'worker': ['b:1', 'c:1'], 'chief': ['a:1']}, ('worker', 1), 2),
    ],
)
def test_what_the_environment_says(monkeypatch, cluster, task, index):
    monkeypatch.setenv('TF_CONFIG', json.dumps({'cluster': cluster, 'task': {'type': task[0], 'index': task[1]}}))
    assert Workers.find((), None) == Workers(('a:1', 'b:1', 'c:1'), index)


_OF_SERVERS = '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}'


@pytest.mark.parametrize('text', ['', '{', '[]', '{}', _OF_SERVERS])
def test_an_environment_that_says_something_else(monkeypatch, text):
    monkeypatch.setenv('TF_CONFIG', text)
    with pytest.raises(errors.UserError, match=r'^the variable TF_CONFIG=.*; wanted such as '):
        Workers.find((), None)


@pytest.mark.parametrize(
    ('addresses', 'index', 'said'),
    [
        ((), None, '--strategy=multi_worker: which workers'),
        ((), 1, '--worker_index=1: give --workers'),
        (_TWO, None, '--workers: say which of them'),
        (_TWO, 2, '--worker_index=2: wanted 0 to 1, of 2 workers'),
        (_TWO, -1, '--worker_index=-1: wanted 0 to 1, of 2 workers'),
        (('a:1', 'a:1'), 0, '--workers: a:1 occurs twice'),
        *(((bad,), 0, f"--workers: '{bad}' is no address") for bad in ('', 'a', 'a:', ':1', 'a:0', 'a:65536', 'a b:1')),
    ],
)
def test_a_mistake(monkeypatch, addresses, index, said):
    monkeypatch.delenv('TF_CONFIG', raising=False)
    with pytest.raises(errors.UserError, match=f'^{said}'):
        Workers.find(addresses, index)


def test_flags_and_environment_that_differ(monkeypatch):
    cluster = {'cluster': {'worker': ['a:1']}, 'task': {'type': 'worker', 'index': 0}}
    monkeypatch.setenv('TF_CONFIG', json.dumps(cluster))
    assert Workers.find(('a:1',), 0).addresses == ('a:1',)
    with pytest.raises(errors.UserError, match='name different workers'):
        Workers.find(('b:1',), 0)


@pytest.mark.parametrize(
    ('values', 'said'),
    [
        ({'workers': ('a:1',)}, '--workers and --worker_index are for --strategy=multi_worker'),
        ({'worker_index': 0}, '--workers and --worker_index are for --strategy=multi_worker'),
        ({'strategy': 'multi_worker', 'virtual_devices': 2}, '--virtual_devices=2 is for one process'),
        ({'strategy': 'multi_worker', 'jit_compile': True}, '--jit_compile=True is for one process'),
        ({'strategy': 'multi_worker', 'join_timeout': 0}, '--join_timeout=0: wanted a number from 1'),
    ],
)
def test_options_that_contradict_each_other(values, said):
    with pytest.raises(errors.UserError, match=f'^{said}'):
        options.RuntimeOptions(**values)


def test_who_is_missing():
    with socket.create_server(('127.0.0.1', 0)) as there, socket.create_server(('127.0.0.1', 0)) as closed:
        addresses = tuple(f'127.0.0.1:{server.getsockname()[1]}' for server in (there, closed))
        closed.close()
        workers = Workers(('127.0.0.1:1', *addresses), 0)
        assert workers.unreachable() == [f'worker 2 ({addresses[1]})']
        lost = workers.loss(RuntimeError('x'))
    assert str(lost).startswith(f'worker 0 of 3 (127.0.0.1:1): lost worker 2 ({addresses[1]}); ')
