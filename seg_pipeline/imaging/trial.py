"""Decodes the two files of a pair in a process of its own: a crash inside a decoder ends that process and no other.

Starting it takes some thirty times as long as decoding a pair, so it is for pairs that are suspected to end a worker.
"""

import contextlib
import pickle
import signal
import subprocess
import sys

from seg_pipeline.imaging import formats, images, masks, rejects
from seg_pipeline.imaging.rejects import RejectError

TIME_LIMIT = 300.0  # seconds; the largest accepted file takes a few
_READY = b'ready'


def check(
    image: bytes,
    mask: bytes,
    image_path: str,
    mask_path: str,
    max_pixels: int = formats.DEFAULT_MAX_PIXELS,
    time_limit: float = TIME_LIMIT,
) -> None:
    """Makes sure that decoding an image and a mask ends, in whatever way, and does not end its process.

    Args:
        image, mask: the bytes of the files.
        image_path, mask_path: their names, for messages.
        max_pixels: as for `images.decode_image`.
        time_limit: in seconds.

    Raises:
        RejectError: DECODER_FAILED, with the names of both files.
        RuntimeError: if the process did not come as far as the files, which says nothing about them.
    """
    names = f'{image_path}, {mask_path}'
    command = [sys.executable, '-m', 'seg_pipeline.imaging.trial']
    try:
        done = subprocess.run(
            command, input=pickle.dumps((image, mask, max_pixels)), capture_output=True, timeout=time_limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        message = f'{names}: to decode them takes more than {time_limit:g} seconds'
        raise RejectError(rejects.DECODER_FAILED, message) from error
    if done.returncode and not done.stdout.startswith(_READY):
        raise RuntimeError(f'a process to decode {names} cannot be started: {done.stderr.decode(errors="replace")}')
    if done.returncode:
        message = f'{names}: decoding them ends the process, {_describe_exit(done.returncode)}'
        raise RejectError(rejects.DECODER_FAILED, message)


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f'with exit code {code}'
    with contextlib.suppress(ValueError):
        return f'by {signal.Signals(-code).name}'
    return f'by signal {-code}'


def _decode(image: bytes, mask: bytes, max_pixels: int) -> None:
    """Decodes both; that a file is bad is for the worker to find out."""
    with contextlib.suppress(RejectError):
        images.decode_image(image, 'image', max_pixels)
    with contextlib.suppress(RejectError):
        masks.decode(mask, 'mask', None, max_pixels)


if __name__ == '__main__':
    sys.stdout.buffer.write(_READY)
    sys.stdout.buffer.flush()
    _decode(*pickle.load(sys.stdin.buffer))
