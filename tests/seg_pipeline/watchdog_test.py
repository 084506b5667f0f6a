import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from seg_pipeline import watchdog

_PROGRAM = """
import os, re, sys, threading, time
from seg_pipeline import watchdog

def end(name):
    print(name, flush=True)
    os._exit(7)

def wait():
    time.sleep(60)

def keep_the_lock():
    re.match('(a+)+$', 'a' * 60 + 'b')

def many_short_ones():
    for number in range(100):
        with watchdog.timed(f'short {number}'):
            time.sleep(0.02)

with watchdog.watching(1.5, end):
    many_short_ones()  # together they take longer
    threading.Thread(target=many_short_ones, daemon=True).start()
    with watchdog.timed('long'):
        globals()[sys.argv[1]]()
"""


@pytest.mark.parametrize(('what', 'code', 'said'), [('wait', 7, 'long\n'), ('keep_the_lock', -signal.SIGPROF, '')])
def test_a_work_that_takes_too_long_ends_the_process(what, code, said):
    command = [sys.executable, '-c', _PROGRAM, what]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (code, said)


def test_time_in_which_the_process_is_stopped_does_not_count():
    """As by Ctrl-Z."""
    program = 'import sys, time; from seg_pipeline import watchdog\n'
    program += 'with watchdog.watching(3, lambda name: print("late", flush=True)), watchdog.timed("work"):\n'
    program += '    print("begun", flush=True); sys.stdin.read()'
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
    process = subprocess.Popen([sys.executable, '-c', program], **pipes)
    assert process.stdout.readline() == 'begun\n'
    process.send_signal(signal.SIGSTOP)
    time.sleep(4)
    process.send_signal(signal.SIGCONT)
    time.sleep(1)
    assert process.communicate()[0] == ''
    assert process.returncode == 0


def test_nothing_is_left_behind():
    before = threading.active_count()
    with watchdog.watching(1e6, lambda name: os.abort()), watchdog.timed('work'):
        assert threading.active_count() == before + 1
        assert signal.getitimer(signal.ITIMER_PROF)[0] > 1e5
    assert threading.active_count() == before
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)
    assert watchdog._running == set()


def test_it_costs_less_than_a_hundredth_of_a_pair():
    started = time.process_time()
    for _ in range(1000):
        with watchdog.timed('work'):
            pass
    assert (time.process_time() - started) / 1000 < 40e-6  # a pair takes 8 ms
