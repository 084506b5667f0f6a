"""What importing the library, or running a job in memory, leaves as it was in the process of whoever does so."""

import pathlib
import pkgutil
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[1]
_PROGRAM = """
import contextlib, importlib, sys
import cv2
from absl import flags
from PIL import Image
cv2.setNumThreads(3)
before = cv2.getNumThreads(), Image.MAX_IMAGE_PIXELS
for name in sys.argv[1:]:
    with contextlib.suppress(flags.DuplicateFlagError):  # of two commands in one process
        importlib.import_module(name)
    assert (cv2.getNumThreads(), Image.MAX_IMAGE_PIXELS) == before, name
"""


def _run(program, *arguments):
    command = [sys.executable, '-c', program, *arguments]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize('package', ['seg_pipeline', 'beam_jobs', 'trainer'])
def test_an_import_changes_neither_opencv_nor_pillow(package):
    modules = pkgutil.walk_packages([str(_ROOT / package)], f'{package}.')
    names = [module.name for module in modules if not module.name.endswith('__main__')]
    assert len(names) > 5
    _run(_PROGRAM, *names)


_JOB = """
import cv2
from PIL import Image
from beam_jobs import runners
import apache_beam as beam

cv2.setNumThreads(3)
before = cv2.getNumThreads(), Image.MAX_IMAGE_PIXELS
runners.run(lambda pipeline: pipeline | beam.Create([1]) | beam.Map(lambda _: cv2.setNumThreads(1)),
            runners.parse_options(['--direct_num_workers=1']))
assert (cv2.getNumThreads(), Image.MAX_IMAGE_PIXELS) == before
"""


def test_a_job_in_memory_leaves_the_threads_as_they_were():
    _run(_JOB)
