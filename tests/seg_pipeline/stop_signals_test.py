"""A stop that is lost on its way is raised again; one that is on its way, or ends something, is not.

Real processes, which send themselves a signal at the moment that is meant.
"""

import subprocess
import sys
import time

import pytest

_COMMAND = """
import ctypes, os, signal, sys, threading, time, weakref
import numpy as np
from seg_pipeline import command_line

def stop():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)  # in here the exception is raised

class Sized:
    def __len__(self):
        stop()
    def __getitem__(self, index):
        return 1

class Dying:
    def __del__(self):
        stop()

def goes_on():
    for _ in range(200):
        time.sleep(0.05)
    print('went on to its end')

def main(argv):
{main}

command_line.run(main)
"""

# Each loses the exception, and goes on.
_LOST = {
    'finalizer': """
    thing = Dying()
    del thing
    goes_on()
""",
    'callback of a weak reference': """
    thing = Dying.__new__(type('Thing', (), {}))
    watched = weakref.ref(thing, lambda _: stop())
    del thing
    goes_on()
""",
    'numpy, without a word': """
    np.asarray(Sized())
    goes_on()
""",
    'printed, as C++ code does it': """
    try:
        try:
            stop()
        except KeyboardInterrupt as error:
            raise SystemError('a result with an exception set') from error
    except SystemError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    goes_on()
""",
    'twice': """
    ctypes.CFUNCTYPE(None)(stop)()
    ctypes.CFUNCTYPE(None)(goes_on)()
    goes_on()
""",
    'waiting': """
    ctypes.CFUNCTYPE(None)(stop)()
    time.sleep(10)
    goes_on()
""",
    'given to another thread while the main one waits for a lock': """
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(0.5, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM)).start()
    threading.Timer(10, lock.release).start()
    lock.acquire()
    goes_on()
""",
    'kept by someone': """
    try:
        stop()
    except BaseException as error:
        kept = error
    goes_on()
""",
}


def _run(main):
    began = time.monotonic()
    command = [sys.executable, '-c', _COMMAND.replace('{main}', main)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr, time.monotonic() - began


@pytest.mark.parametrize('how', _LOST)
def test_a_stop_that_was_lost_ends_the_command_all_the_same(how):
    code, printed, said, seconds = _run(_LOST[how])
    assert (code, printed, said) == (143, '', 'terminated\n')
    assert seconds < 8  # of 10


# Each ends in an orderly way, which takes a second.
_ORDERLY = {
    'finally': """
    try:
        stop()
    finally:
        time.sleep(1)
        print('cleaned')
""",
    'another error of it, as C++ makes it': """
    failed = False
    try:
        stop()
    except KeyboardInterrupt:
        failed = True
    try:
        if failed:
            raise RuntimeError('INVALID_ARGUMENT')
    finally:
        time.sleep(1)
        print('cleaned')
""",
    'kept, and raised later': """
    try:
        stop()
    except KeyboardInterrupt as error:
        kept = error
    time.sleep(1)
    print('cleaned')
    raise kept
""",
}


@pytest.mark.parametrize('how', _ORDERLY)
def test_what_ends_after_a_stop_is_not_interrupted(how):
    assert _run(_ORDERLY[how])[:3] == (143, 'cleaned\n', 'terminated\n')


def test_a_handler_that_has_heard_a_signal_may_put_ours_back():
    """As that of the training loop does, which stops at the next good place."""
    main = """
    from seg_pipeline import stop_signals
    def note(number, frame):
        stop_signals.heard()
        signal.signal(number, before)
    before = signal.signal(signal.SIGTERM, note)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1.5)
    print('went on to its end')
"""
    assert _run(main)[:3] == (0, 'went on to its end\n', '')
    assert _run(main.replace('stop_signals.heard()', 'pass'))[0] == 143


def test_a_signal_to_a_forked_process_is_not_ours():
    main = """
    child = os.fork()
    if not child:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
        time.sleep(10)
    time.sleep(0.2)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    time.sleep(1)
    print('went on to its end')
"""
    assert _run(main)[:3] == (0, 'went on to its end\n', '')


def test_what_is_done_all_the_same_is_done():
    """The stop was lost when nothing was left to do."""
    assert _run('    ctypes.CFUNCTYPE(None)(stop)()')[:3] == (0, '', '')
