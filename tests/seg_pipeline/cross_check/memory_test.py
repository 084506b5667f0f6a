"""How much memory a comparison takes at most: what docs/how_to/own_data.md says, measured in processes of their own."""

import io
import subprocess
import sys

import numpy as np
import pytest
import scipy.io
from PIL import Image

_SIDE = 2000
_BYTES_PER_PIXEL = 20  # beside the file
_IDS = np.zeros((_SIDE, _SIDE), np.uint8)
_IDS[: _SIDE // 2] = 1
_PROGRAM = """
import sys
import cv2
import numpy as np
import scipy.io
from seg_pipeline.cross_check import source_files
from seg_pipeline.cross_check.comparison import Checker
from seg_pipeline.labels.label_map import LabelMap
with open(sys.argv[1], 'rb') as file:
    data = file.read()
checker = Checker(LabelMap(('a', 'b'), ((0, 0, 0), (255, 0, 0))), 'auto', None, 'squash', 'majority', '')
ids = np.repeat(np.array([1, 0], np.uint8), 8)[:, None].repeat(16, axis=1)
def peak():
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('VmHWM')) * 1024
before = peak()
assert checker._pixel_difference(source_files.read(data), ids) is None
print(peak() - before)
"""


def _picture(kind, mode):
    image = Image.fromarray(_IDS, 'P')
    image.putpalette([0, 0, 0, 255, 0, 0])
    file = io.BytesIO()
    (Image.fromarray(_IDS) if mode == 'L' else image.convert(mode)).save(file, kind)
    return file.getvalue()


def _mat():
    file = io.BytesIO()
    scipy.io.savemat(file, {'groundtruth': _IDS.astype(float)}, do_compression=True)
    return file.getvalue()


_FILES = {
    'PNG by colour': lambda: _picture('PNG', 'RGB'),
    'PNG with alpha': lambda: _picture('PNG', 'RGBA'),
    'PNG of indices': lambda: _picture('PNG', 'P'),
    'grey PNG': lambda: _picture('PNG', 'L'),
    'MATLAB of doubles': _mat,
    'TIFF by colour': lambda: _picture('TIFF', 'RGB'),
    'TIFF of indices': lambda: _picture('TIFF', 'P'),
    'BMP by colour': lambda: _picture('BMP', 'RGB'),
    'BMP of indices': lambda: _picture('BMP', 'P'),
}


@pytest.mark.parametrize('name', _FILES)
def test_comparing_takes_no_more_than_this_for_each_pixel(name, tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(_FILES[name]())
    done = subprocess.run([sys.executable, '-c', _PROGRAM, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 0.9 < int(done.stdout) / _SIDE**2 < _BYTES_PER_PIXEL  # less than the values could not be
