"""A pair that ends what handles it: in processes with the environment of `environment`, by pictures of 13x7 pixels.

No file is known that crashes the libraries of today, and the next one will not be announced.
"""

import os
import pathlib

import cv2
import numpy as np

DEADLY_VALUE = 177  # of the image whose mean, in a record, is deadly for the encoder

# Patches libraries when Python starts: in the command, in its workers, and in what they start.
_SITE_CUSTOMIZE = """
import builtins, ctypes, os, re, signal, sys, time
import cv2
from PIL import BmpImagePlugin, PngImagePlugin

STAGE, HOW, LIMITS = {stage!r}, {how!r}, {limits!r}

if LIMITS and 'seg_pipeline.trial' not in sys.orig_argv:
    from seg_pipeline import trial
    from seg_pipeline.storage import attempts
    trial.TIME_LIMIT, trial.call.__kwdefaults__['time_limit'], attempts._LONG_SECONDS = LIMITS

def end():
    if HOW == 'exit':
        os._exit(0)
    if HOW == 'kill':
        os.kill(os.getpid(), signal.SIGKILL)
    if HOW == 'hang':
        time.sleep(3600)
    if HOW == 'hang with the lock':  # no other thread of Python runs
        re.match('(a+)+$', 'a' * 60 + 'b')
    if HOW == 'crash':
        os.kill(os.getpid(), signal.SIGSEGV)  # comes to the main thread: this one goes on for a moment
    if HOW == 'memory':
        raise MemoryError('wanted 7 GiB')
    ctypes.string_at(0)

def patch(owner, name, is_deadly):
    original = getattr(owner, name)
    def patched(*arguments, **options):
        if is_deadly(*arguments):
            end()
        return original(*arguments, **options)
    setattr(owner, name, patched)

if STAGE == 'read':
    patch(builtins, 'open', lambda path, *_: str(path).endswith('/img_0099.bmp'))
if STAGE == 'decode':
    patch(BmpImagePlugin.BmpImageFile, 'load', lambda self: self.size == (13, 7))
if STAGE == 'resize':
    patch(cv2, 'resize', lambda image, *_: image.shape[:2] == (7, 13))
if STAGE == 'encode':
    patch(cv2, 'imencode', lambda suffix, image, *_: image.ndim == 3 and image.min() == image.max() == {value})
if STAGE == 'compare':  # a PNG is decoded by Pillow only to compare its record with it
    patch(PngImagePlugin.PngImageFile, 'load', lambda self: self.size == (13, 7))
"""


def environment(directory, stage='decode', how='crash', limits=()):
    """The variables of a process in which a picture of 13x7 is deadly.

    Args:
        directory: for the code that makes it so.
        stage: `read` (img_0099.bmp, of any size), `decode` (a BMP), `resize` (an image), `encode` (an image of
            `DEADLY_VALUE`) or `compare` (a PNG mask).
        how: `crash`, `exit` with code 0, `kill`, `hang`, `hang with the lock` of the interpreter, `fault`, a crash of
            the thread itself, or `memory`, which is not deadly: a MemoryError.
        limits: if given, in seconds, how long a pair may take in a worker and in a process of its own, and after how
            long a pair is noted although its process is ended from outside.
    """
    code = _SITE_CUSTOMIZE.format(stage=stage, how=how, limits=limits, value=DEADLY_VALUE)
    (directory / 'sitecustomize.py').write_text(code)
    return {'PYTHONPATH': os.pathsep.join((str(directory), str(pathlib.Path(__file__).parents[1])))}


def bmp(width=13, value=0):
    """A BMP of 7 rows, of 24 bits."""
    return cv2.imencode('.bmp', np.full((7, width, 3), value, np.uint8))[1].tobytes()


def png(width=13, value=0):
    """A PNG of 7 rows."""
    return cv2.imencode('.png', np.full((7, width), value, np.uint8))[1].tobytes()
