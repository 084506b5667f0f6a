"""Exported models, run by programs that import nothing of this one, answer what the trained model answers."""

import json
import subprocess
import sys

import numpy as np
import pytest

from seg_pipeline import errors
from seg_pipeline.imaging import resizing
from seg_pipeline.labels.label_map import LabelMap
from tests.trainer import fake_run
from trainer.inference import export_formats, exporters, predictor
from trainer.models import decoders, trained

_SERVE = """
import sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
images = np.load(sys.argv[2])
np.savez(sys.argv[3], **{name: model.serve(images[name]) for name in images})
"""


@pytest.fixture(name='model_dir', scope='module')
def _model_dir(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('run'))
    fake_run.make(path)
    return path


@pytest.fixture(name='small_images')
def _small_images():
    return np.stack([fake_run.image(*fake_run.IMAGE_SIZE, seed=seed) for seed in range(3)])


def test_a_saved_model_takes_images_of_any_size(tmp_path, model_dir):
    exporters.export(model_dir, 'saved_model', str(tmp_path / 'out'))
    images = {
        'large': np.stack([fake_run.image(50, 70, seed=1), fake_run.image(50, 70, seed=2)]),
        'small': fake_run.image(20, 10)[np.newaxis],
        'exact': fake_run.image(32, 32)[np.newaxis],
    }
    np.savez(tmp_path / 'images.npz', **images)
    files = [str(tmp_path / name) for name in ('out', 'images.npz', 'ids.npz')]
    subprocess.run([sys.executable, '-c', _SERVE, *files], check=True, cwd=tmp_path, stderr=subprocess.DEVNULL)

    original = predictor.Predictor(trained.load(model_dir)[0])
    answers = np.load(tmp_path / 'ids.npz')
    for name, batch in images.items():
        assert answers[name].dtype == np.uint8
        for image, ids in zip(batch, answers[name], strict=True):
            logits = original.logits(resizing.resize_image(image, fake_run.IMAGE_SIZE)[np.newaxis])[0]
            # A pixel may differ where the two ways of shrinking round differently.
            assert (original.ids(logits, image.shape[:2]) != ids).mean() < 0.002
    assert len(np.unique(answers['large'])) > 1


def test_the_label_map_travels_with_the_model(tmp_path, model_dir):
    exporters.export(model_dir, 'saved_model', str(tmp_path / 'out'))

    assert LabelMap.from_json(json.loads((tmp_path / 'out' / 'label_map.json').read_text())) == fake_run.LABELS


def _of_onnx(directory, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(directory / 'model.onnx'))
    return session.run(['logits'], {'images': images})[0]


def _of_litert(directory, images):
    from ai_edge_litert import interpreter as interpreter_lib

    interpreter = interpreter_lib.Interpreter(str(directory / 'model.tflite'))
    (tensor,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(tensor['index'], images.shape)
    return interpreter.get_signature_runner('serving_default')(images=images)['logits']


@pytest.mark.parametrize(('file_format', 'answer'), [('onnx', _of_onnx), ('litert', _of_litert)])
@pytest.mark.parametrize(
    'network', [*({'decoder': name} for name in decoders.DECODERS), {'decoder': 'unet', 'input_scale': 2.0}], ids=str
)
def test_every_decoder_answers_the_same_logits(tmp_path, small_images, network, file_format, answer):
    model_dir = str(tmp_path / 'run')
    fake_run.make(model_dir, encoder='tiny_bn', **network)
    exporters.export(model_dir, file_format, str(tmp_path / 'out'))
    expected = trained.load(model_dir)[0](small_images).numpy()
    assert len(np.unique(expected.argmax(-1))) > 1
    logits = answer(tmp_path / 'out', small_images)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_nothing_is_left_of_an_export_that_failed(tmp_path, model_dir, monkeypatch):
    monkeypatch.setattr(exporters.atomic, 'write', lambda *_: (_ for _ in ()).throw(OSError('disk full')))

    with pytest.raises(OSError, match='disk full'):
        exporters.export(model_dir, 'saved_model', str(tmp_path / 'out'))
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(errors.UserError, match='is no run'):
        exporters.export(str(tmp_path), 'saved_model', str(tmp_path / 'out'))


@pytest.mark.parametrize('mistake', ['exists', 'format'])
def test_a_users_mistake_is_one_line(tmp_path, model_dir, mistake):
    output_dir = tmp_path if mistake == 'exists' else tmp_path / 'out'
    file_format = {'exists': 'saved_model', 'format': 'nonsense'}[mistake]
    command = [sys.executable, '-m', 'trainer.export', f'--model_dir={model_dir}', f'--output_dir={output_dir}']
    done = subprocess.run([*command, f'--format={file_format}'], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, '', 1)
    assert {'exists': 'exists', 'format': 'nonsense'}[mistake] in done.stderr


def test_a_converter_that_is_not_installed_is_told_before_the_work(monkeypatch):
    monkeypatch.setattr(export_formats.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(errors.UserError, match='needs tf2onnx'):
        export_formats.check_installed('onnx')
