"""How much memory decoding takes at most: what docs/how_to/own_data.md says, measured in processes of their own."""

import io
import subprocess
import sys

import numpy as np
import pytest
import scipy.io
from PIL import Image

_SIDE = 2000
_BYTES_PER_PIXEL = 20  # beside the file
_COLORS = np.zeros((_SIDE, _SIDE, 3), np.uint8)
_COLORS[: _SIDE // 2] = (255, 0, 0)
_IDS = _COLORS[..., 0] // 255
_PROGRAM = """
import sys
from seg_pipeline.imaging import images, masks
from seg_pipeline.labels.label_map import LabelMap
reader = masks.MaskReader(LabelMap(('a', 'b'), ((0, 0, 0), (255, 0, 0))))
with open(sys.argv[2], 'rb') as file:
    data = file.read()
def peak():
    # Not by getrusage, whose figure a process inherits from the one that started it.
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('VmHWM')) * 1024
before = peak()
if sys.argv[1] == 'image':
    images.decode_image(data, 'a')
else:
    masks.decode(data, 'a', reader)
print(peak() - before)
"""


def _picture(array, kind, mode=None, **options):
    file = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def _mat():
    file = io.BytesIO()
    scipy.io.savemat(file, {'groundtruth': _IDS.astype(float)}, do_compression=True)
    return file.getvalue()


_FILES = {
    'mask PNG by colour': lambda: _picture(_COLORS, 'PNG'),
    'mask TIFF of 16 bits': lambda: _picture(_IDS.astype(np.uint16), 'TIFF', compression='tiff_lzw'),
    'mask MATLAB of doubles': _mat,
    'image PNG': lambda: _picture(_COLORS, 'PNG'),
    'image JPEG': lambda: _picture(_COLORS, 'JPEG', progressive=True),
    'image JPEG in CMYK': lambda: _picture(_COLORS, 'JPEG', 'CMYK'),
    'image WebP': lambda: _picture(_COLORS, 'WEBP'),
    'image TIFF': lambda: _picture(_COLORS, 'TIFF', 'RGBA', compression='tiff_lzw'),
    'image BMP': lambda: _picture(_COLORS, 'BMP'),
}


@pytest.mark.parametrize('name', _FILES)
def test_decoding_takes_no_more_than_this_for_each_pixel(name, tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(_FILES[name]())
    command = [sys.executable, '-c', _PROGRAM, name.split()[0], str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    used = int(done.stdout) / _SIDE**2
    assert 0.9 < used < _BYTES_PER_PIXEL  # less than its result could not be


_WITH_LITTLE = """
import resource, sys
from seg_pipeline.cross_check import source_files
from seg_pipeline.imaging import images, masks, rejects
files = [open(path, 'rb').read() for path in sys.argv[1:]]
with open('/proc/self/statm') as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 10_000_000, now + 10_000_000))
for data in files:
    for read in (images.decode_image, masks.decode, lambda data, path: source_files.read(data)):
        try:
            read(data, 'a')
        except rejects.RejectError as error:
            print(error.reason)
        except MemoryError:
            print('MemoryError')
"""


def test_with_too_little_memory_the_reason_is_that(tmp_path):
    """Whoever decodes: OpenCV has an error of its own for it."""
    pictures = {'a.png': _picture(np.zeros((5000, 5000), np.uint8), 'PNG')}
    pictures['a.tif'] = _picture(np.zeros((5000, 5000), np.uint8), 'TIFF', compression='tiff_lzw')
    pictures['a.bmp'] = _picture(np.zeros((3000, 2000, 3), np.uint8), 'BMP')
    for name, data in pictures.items():
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, '-c', _WITH_LITTLE, *(str(tmp_path / name) for name in pictures)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['out_of_memory', 'out_of_memory', 'MemoryError'] * 3
