"""Where an encoder's weights come from, with the downloads of a server on this machine."""

import dataclasses
import functools
import hashlib
import http.server
import os
import threading

import keras
import numpy as np
import pytest

from seg_pipeline import errors
from trainer.models import encoder_weights, encoders

ENCODER = 'mobilenet_v2'


def _network(seed, **options):
    keras.utils.set_random_seed(seed)
    return keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3), **options)


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """A directory with a weights file as Keras publishes them, and the weights in it."""
    directory = tmp_path_factory.mktemp('published')
    network = _network(seed=1)
    network.save_weights(directory / 'file.weights.h5')
    os.rename(directory / 'file.weights.h5', directory / 'file.h5')
    network.save(directory / 'legacy.h5')
    return directory, network.get_weights()


@pytest.fixture
def server(published):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=published[0])
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{running.server_port}'
        running.shutdown()


@pytest.fixture(autouse=True)
def keras_home(tmp_path, monkeypatch):
    monkeypatch.setenv('KERAS_HOME', str(tmp_path / 'keras'))
    return tmp_path / 'keras'


def _publish(monkeypatch, url, md5):
    weights = encoders.WeightsFile('cached.h5', url, md5)
    monkeypatch.setitem(encoders.ENCODERS, ENCODER, dataclasses.replace(encoders.ENCODERS[ENCODER], weights=weights))


def _md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def _equal(network, weights):
    return all(np.array_equal(a, b) for a, b in zip(network.get_weights(), weights, strict=True))


@pytest.mark.parametrize('with_md5', [True, False])
def test_download_fills_the_cache_and_the_network(monkeypatch, server, published, keras_home, with_md5):
    directory, weights = published
    _publish(monkeypatch, f'{server}/legacy.h5', _md5(directory / 'legacy.h5') if with_md5 else None)
    path = encoder_weights.find(ENCODER, 'imagenet')
    assert path == str(keras_home / 'models' / 'cached.h5')
    encoder_weights.download(ENCODER)
    assert os.listdir(keras_home / 'models') == ['cached.h5']
    network = _network(seed=2)
    assert not _equal(network, weights)
    encoder_weights.load(network, ENCODER, path)
    assert _equal(network, weights)


def test_the_cache_needs_no_server(monkeypatch, published, keras_home):
    directory, _ = published
    (keras_home / 'models').mkdir(parents=True)
    (keras_home / 'models' / 'cached.h5').write_bytes((directory / 'legacy.h5').read_bytes())
    _publish(monkeypatch, 'http://127.0.0.1:9/cached.h5', _md5(directory / 'legacy.h5'))
    encoder_weights.find(ENCODER, 'imagenet')
    encoder_weights.download(ENCODER)


@pytest.mark.parametrize('place', ['/missing.h5', None])
def test_a_failed_download_says_which_file_belongs_where(monkeypatch, server, keras_home, place):
    url = server + place if place else 'http://127.0.0.1:9/file.h5'
    _publish(monkeypatch, url, '0' * 32)
    with pytest.raises(errors.UserError) as raised:
        encoder_weights.download(ENCODER)
    for part in ('cached.h5', url, str(keras_home / 'models' / 'cached.h5'), 'MD5 ' + '0' * 32):
        assert part in str(raised.value)
    assert not (keras_home / 'models' / 'cached.h5').exists()


def test_a_download_with_another_checksum_does_not_enter_the_cache(monkeypatch, server, keras_home):
    _publish(monkeypatch, f'{server}/legacy.h5', '0' * 32)
    with pytest.raises(errors.UserError, match=r'cannot download cached\.h5'):
        encoder_weights.download(ENCODER)
    assert not (keras_home / 'models' / 'cached.h5').exists()


def test_a_file_that_the_user_placed_is_refused_and_kept(monkeypatch, server, keras_home):
    placed = keras_home / 'models' / 'cached.h5'
    placed.parent.mkdir(parents=True)
    placed.write_bytes(b'mine')
    _publish(monkeypatch, f'{server}/legacy.h5', '0' * 32)
    with pytest.raises(errors.UserError, match=f'{hashlib.md5(b"mine").hexdigest()}.*{"0" * 32}'):
        encoder_weights.find(ENCODER, 'imagenet')
    assert placed.read_bytes() == b'mine'


def test_none_is_nothing():
    assert encoder_weights.find(ENCODER, 'none') is None


def test_an_encoder_without_published_weights_says_so():
    with pytest.raises(errors.UserError, match='tiny has no ImageNet weights'):
        encoder_weights.find('tiny', 'imagenet')


@pytest.mark.parametrize('name', ['missing.h5', 'weights.ckpt'])
def test_a_file_must_exist_and_end_in_h5(tmp_path, name):
    (tmp_path / 'weights.ckpt').write_bytes(b'')
    with pytest.raises(errors.UserError, match=name):
        encoder_weights.find(ENCODER, str(tmp_path / name))


def test_weights_of_the_new_format_load(tmp_path):
    saved, path = _network(seed=3), tmp_path / 'w.weights.h5'
    saved.save_weights(path)
    network = _network(seed=4)
    encoder_weights.load(network, ENCODER, encoder_weights.find(ENCODER, str(path)))
    assert _equal(network, saved.get_weights())


@pytest.mark.parametrize('kind', ['garbage', 'other network', 'other network, new format'])
def test_a_file_of_something_else_is_one_clear_line(tmp_path, kind):
    path = tmp_path / ('w.weights.h5' if kind.endswith('new format') else 'w.h5')
    if kind == 'garbage':
        path.write_bytes(b'no HDF5')
    elif kind.endswith('new format'):
        _network(seed=0, alpha=0.35).save_weights(path)
    else:
        _network(seed=0, alpha=0.35).save(path)
    with pytest.raises(errors.UserError, match=f'{path} does not hold the weights of mobilenetv2') as raised:
        encoder_weights.load(_network(seed=0), ENCODER, str(path))
    assert '\n' not in str(raised.value)
