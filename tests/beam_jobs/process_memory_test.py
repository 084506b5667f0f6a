"""How many heaps the C library makes for threads, by its own account."""

import gc
import platform
import subprocess
import sys

import apache_beam as beam
import pytest

from beam_jobs import pipeline, prepare_dataset, process_memory, runners
from seg_pipeline.building.markers import Outcome, Result

_needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='malloc_info is of glibc')

_THREADS_AT_WORK = """
import ctypes, sys, threading
from beam_jobs import process_memory
if sys.argv[1] == 'shared':
    process_memory.share_heaps()
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


@_needs_glibc
def test_threads_share_heaps():
    heaps = {}
    for choice in ('shared', 'own'):
        command = [sys.executable, '-c', _THREADS_AT_WORK, choice]
        heaps[choice] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.count('<heap nr=')
    assert heaps['own'] == heaps['shared'] + 4  # a thread each; what importing Beam left is in both


@_needs_glibc
def test_a_worker_process_makes_no_heaps_for_its_threads(tmp_path):
    def count(_):
        import ctypes

        libc = ctypes.CDLL(None)
        libc.fopen.restype = ctypes.c_void_p
        file = libc.fopen(str(tmp_path / 'heaps').encode(), b'w')
        libc.malloc_info(0, ctypes.c_void_p(file))
        libc.fclose(ctypes.c_void_p(file))

    options = runners.parse_options(['--direct_num_workers=2', '--direct_running_mode=multi_processing'])
    runners.run(lambda p: p | beam.Create([1]) | beam.Map(count), options)
    assert (tmp_path / 'heaps').read_text().count('<heap nr=') <= 4  # 16 where each thread may have one


def test_the_command_takes_care_of_its_memory(monkeypatch):
    called = []
    monkeypatch.setattr(process_memory, 'share_heaps', lambda: called.append('share_heaps'))
    monkeypatch.setattr(prepare_dataset, '_job_config', lambda: None)
    monkeypatch.setattr(pipeline, 'run', lambda job, options: called.append(gc.get_threshold()[0]) or outcome)
    outcome = Outcome(Result.UNCHANGED, '', {})
    before = gc.get_threshold()
    try:
        assert prepare_dataset.main(['prepare_dataset']) == 0
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
    assert called == ['share_heaps', 100_000]
