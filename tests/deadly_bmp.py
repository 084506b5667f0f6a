"""A decoder that crashes: in processes with the environment of `environment`, a BMP of 13x7 pixels ends its process.

No file is known that crashes the decoders of today, and the next one will not be announced.
"""

import os
import pathlib

import cv2
import numpy as np

_SITE_CUSTOMIZE = """
import os, signal, time
from PIL import BmpImagePlugin

_load = BmpImagePlugin.BmpImageFile.load

def load(self):
    if self.size == (13, 7):
        os.kill(os.getpid(), signal.SIGSEGV)
    if self.size == (17, 7):
        time.sleep(3600)
    return _load(self)

BmpImagePlugin.BmpImageFile.load = load
"""


def environment(directory):
    """The variables of a process in which a BMP of 13x7 crashes its decoder, and one of 17x7 keeps it for ever."""
    (directory / 'sitecustomize.py').write_text(_SITE_CUSTOMIZE)
    return {'PYTHONPATH': os.pathsep.join((str(directory), str(pathlib.Path(__file__).parents[1])))}


def bmp(width=13, value=0):
    """A BMP of 7 rows, of 24 bits."""
    return cv2.imencode('.bmp', np.full((7, width, 3), value, np.uint8))[1].tobytes()


def png(width=13, value=0):
    """A PNG of 7 rows."""
    return cv2.imencode('.png', np.full((7, width), value, np.uint8))[1].tobytes()
