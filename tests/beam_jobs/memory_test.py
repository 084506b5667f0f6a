"""How many heaps the C library makes for threads, by its own account."""

import platform
import subprocess
import sys

import pytest

_THREADS_AT_WORK = """
import ctypes, sys, threading
from beam_jobs import memory
if sys.argv[1] == 'shared':
    memory.share_heaps()
barrier = threading.Barrier(4)
def work():
    kept = [bytes(5000) for _ in range(100)]  # too large for Python's own allocator
    barrier.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, 'stdout'))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='malloc_info is of glibc')
def test_threads_share_heaps():
    heaps = {}
    for choice in ('shared', 'own'):
        command = [sys.executable, '-c', _THREADS_AT_WORK, choice]
        heaps[choice] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.count('<heap nr=')
    assert heaps['own'] == heaps['shared'] + 4  # a thread each; what importing Beam left is in both
