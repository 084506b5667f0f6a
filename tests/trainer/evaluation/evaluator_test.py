"""Metrics of a split: the same for any batch size and number of replicas; JSON and table."""

import json
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as sklearn_metrics

from seg_pipeline import errors
from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.dataset_split import DatasetSplit
from seg_pipeline.labels import label_map
from tests import fake_data, optional
from trainer import config
from trainer.evaluation import evaluator, formatting, metrics
from trainer.models import trained
from trainer.training import checkpoints

ROOT = pathlib.Path(__file__).parents[3]
NAMES = ('background', 'shirt', 'hat', 'shoe')
# Rows are the truth: 8 background, 5 shirt, 1 hat, no shoe, which was predicted once.
METRICS = metrics.from_confusion_matrix(np.array([[6, 1, 0, 1], [2, 3, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]))


@pytest.fixture(scope='module')
def nine(tmp_path_factory):
    """A data set of 9 validation pairs, and a run whose model predicts every class now and then."""
    root = tmp_path_factory.mktemp('nine')
    data_dir = fake_data.make_dataset(root / 'data', num_pairs=18, splits='train:0.5,validation:0.5')
    found = manifest.read(data_dir)
    assert found.num_records('validation') == 9
    run = config.RunConfig(
        config.Recipe(encoder='tiny', encoder_weights='none', epochs=1, frozen_epochs=0, optimizer='sgd'),
        config.Data.from_manifest(found),
    )
    config.write(str(root / 'run'), run)
    return data_dir, str(root / 'run'), run, found


@pytest.fixture(scope='module')
def saved(nine, one_device):
    """The run's model, saved, and its logits spread so that no two classes are near a tie."""
    _, model_dir, run, _ = nine
    state = checkpoints.create_state(run, one_device, None)
    head = state.model.get_layer('logits')
    head.kernel.assign(np.random.default_rng(0).normal(size=head.kernel.shape))
    checkpoints.Checkpointer(model_dir, state, keep=1).save()
    return state.model


def _expected(network, data_dir):
    """The confusion matrix by a plain loop over the records."""
    confusion = np.zeros((4, 4), np.int64)
    for record in fake_data.read_split(data_dir, 'validation'):
        prediction = network(record.image[None]).numpy()[0].argmax(-1)
        np.add.at(confusion, (record.mask.ravel(), prediction.ravel()), 1)
    return confusion


def _loss(network, data_dir):
    """The mean cross-entropy of the valid pixels, by numpy."""
    losses = []
    for record in fake_data.read_split(data_dir, 'validation'):
        logits = network(record.image[None]).numpy()[0].astype(np.float64)
        valid = record.mask != 255
        of_truth = np.take_along_axis(logits[valid], record.mask[valid][:, None].astype(np.int64), 1)[:, 0]
        losses.append(np.log(np.exp(logits[valid]).sum(-1)) - of_truth)
    return np.concatenate(losses).mean()


@pytest.mark.parametrize(
    ('devices', 'batch_size'), [('one_device', 4), ('two_devices', 4), ('one_device', 1), ('two_devices', 32)]
)
def test_neither_batch_size_nor_replicas_change_a_metric(nine, saved, request, devices, batch_size):
    data_dir, model_dir, _, found = nine
    devices = request.getfixturevalue(devices)
    with devices.scope():
        network, _ = trained.load(model_dir)
    split = DatasetSplit(data_dir, found, 'validation')
    made = evaluator.Evaluator(devices, network, split, batch_size=batch_size)
    found_metrics, _ = made.run()
    expected = metrics.from_confusion_matrix(_expected(saved, data_dir))
    assert formatting.to_json(found_metrics, found.label_map) == formatting.to_json(expected, found.label_map)
    again, _ = made.run()
    np.testing.assert_array_equal(again.support, found_metrics.support)


def test_keras_and_scikit_learn_give_the_same_figures(nine, saved, two_devices):
    """With ignored pixels, with a class that is in no truth, and with one that is in neither."""
    data_dir, model_dir, _, found = nine
    with two_devices.scope():
        network, _ = trained.load(model_dir)
    split = DatasetSplit(data_dir, found, 'validation')
    made, _ = evaluator.Evaluator(two_devices, network, split, batch_size=4).run()
    records = fake_data.read_split(data_dir, 'validation')
    masks = np.stack([record.mask for record in records])
    logits = network(np.stack([record.image for record in records])).numpy()
    keras_iou = keras.metrics.MeanIoU(4, ignore_class=255, sparse_y_pred=False)
    keras_iou.update_state(masks[..., None], logits)
    assert made.mean_iou == pytest.approx(float(keras_iou.result()), rel=1e-6)
    valid = masks != 255
    truth, prediction = masks[valid], logits.argmax(-1)[valid]
    np.testing.assert_array_equal(
        made.confusion, sklearn_metrics.confusion_matrix(truth, prediction, labels=np.arange(4))
    )
    occurring = np.union1d(truth, prediction)
    np.testing.assert_allclose(
        made.iou[occurring], sklearn_metrics.jaccard_score(truth, prediction, average=None, labels=occurring)
    )
    assert made.pixel_accuracy == pytest.approx(sklearn_metrics.accuracy_score(truth, prediction))
    assert made.mean_recall == pytest.approx(sklearn_metrics.balanced_accuracy_score(truth, prediction))
    assert made.mean_dice == pytest.approx(sklearn_metrics.f1_score(truth, prediction, average='macro'))
    assert made.frequency_weighted_iou == pytest.approx(
        sklearn_metrics.jaccard_score(truth, prediction, average='weighted')
    )


def test_the_loss_is_the_mean_over_the_valid_pixels_of_all_batches(nine, saved, two_devices):
    data_dir, model_dir, _, found = nine
    with two_devices.scope():
        network, _ = trained.load(model_dir)

    def loss(masks, logits, ignore_id):  # Each valid pixel costs its id, so the mean shows which pixels were counted.
        valid = tf.not_equal(masks, ignore_id)
        return tf.reduce_sum(tf.where(valid, tf.cast(masks, tf.float32), 0.0)), tf.reduce_sum(
            tf.cast(valid, tf.float32)
        )

    split = DatasetSplit(data_dir, found, 'validation')
    _, mean = evaluator.Evaluator(two_devices, network, split, batch_size=4, loss=loss).run()
    masks = np.stack([record.mask for record in fake_data.read_split(data_dir, 'validation')])
    assert mean == pytest.approx(masks[masks != 255].mean(), rel=1e-6)


def test_the_replicas_must_divide_the_batch(nine, two_devices):
    data_dir, _, _, found = nine
    split = DatasetSplit(data_dir, found, 'validation')
    with pytest.raises(errors.UserError, match='--batch_size=3'):
        evaluator.Evaluator(two_devices, None, split, batch_size=3)


def test_the_command_writes_what_it_prints(nine, saved):
    data_dir, model_dir, _, _ = nine
    command = [sys.executable, '-m', 'trainer.evaluate', f'--model_dir={model_dir}', f'--data_dir={data_dir}']
    command += ['--batch_size=4']
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    content = json.loads((pathlib.Path(model_dir) / 'evaluation' / 'validation.json').read_text())
    expected = metrics.from_confusion_matrix(_expected(saved, data_dir))
    assert content['examples'] == 9
    assert content['pixels'] == 9 * 32 * 32
    assert content['confusion'] == expected.confusion.tolist()
    assert content['mean_iou'] == pytest.approx(expected.mean_iou)
    assert content['loss'] == pytest.approx(_loss(saved, data_dir), rel=1e-5)
    assert [entry['iou'] for entry in content['classes']] == [None if np.isnan(iou) else iou for iou in expected.iou]
    assert f'pixel accuracy             {expected.pixel_accuracy:.4f}' in done.stdout


@pytest.fixture(params=['read-only', 'a file in the place of the folder'])
def unwritable(request, tmp_path, saved, nine):
    """A copy of the run, in which no evaluation/ can be written; and what is said of it."""
    run = tmp_path / 'run'
    shutil.copytree(nine[1], run)
    shutil.rmtree(run / 'evaluation', ignore_errors=True)
    if request.param != 'read-only':
        (run / 'evaluation').write_bytes(b'')
        yield run, 'cannot be written: Not a directory'
        return
    for command in (['mount', '--bind', run, run], ['mount', '-o', 'remount,ro,bind', run]):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip(optional.MOUNTS.reason)
    try:
        yield run, 'cannot be written: Read-only file system'
    finally:
        subprocess.run(['umount', run], check=True)


def test_the_figures_are_printed_where_the_run_cannot_be_written(nine, saved, unwritable):
    run, message = unwritable
    before = sorted(run.rglob('*'))
    command = [sys.executable, '-m', 'trainer.evaluate', f'--model_dir={run}', f'--data_dir={nine[0]}']
    done = subprocess.run([*command, '--batch_size=4'], cwd=ROOT, capture_output=True, text=True, check=False)
    expected = metrics.from_confusion_matrix(_expected(saved, nine[0]))
    assert f'pixel accuracy             {expected.pixel_accuracy:.4f}' in done.stdout
    assert 'written to' not in done.stdout
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.startswith(f'error: {run}/evaluation')
    assert done.stderr.endswith(f'{message}\n')
    assert sorted(run.rglob('*')) == before


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--split=test'], "no split 'test'"),
        (['--model_dir=/nowhere'], '/nowhere is no run of trainer.train'),
        (['--data_dir=/nowhere'], '/nowhere: no data set'),
    ],
)
def test_mistakes_are_answered_on_one_line(nine, saved, arguments, message):
    data_dir, model_dir, _, _ = nine
    command = [sys.executable, '-m', 'trainer.evaluate', f'--model_dir={model_dir}', f'--data_dir={data_dir}']
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_json_says_null_where_nothing_is_defined():
    content = formatting.to_json(METRICS, label_map.LabelMap.default(NAMES))
    shoe = content['classes'][3]
    assert (shoe['present'], shoe['occurs'], shoe['iou'], shoe['recall'], shoe['predicted']) == (
        False,
        True,
        0,
        None,
        1,
    )
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content['background_accuracy'] == pytest.approx(8 / 14)


def test_table_names_every_class_and_what_is_absent():
    lines = formatting.table(METRICS, label_map.LabelMap.default(NAMES)).splitlines()
    assert lines[0].split() == ['id', 'class', 'IoU', 'Dice', 'recall', 'support']
    assert lines[1].split() == ['0', 'background', '0.5455', '0.7059', '0.7500', '8']
    assert lines[2].split() == ['1', 'shirt', '0.5000', '0.6667', '0.6000', '5']
    assert lines[4] == '  3  shoe        absent, predicted for 1 pixel'
    assert '  of background everywhere 0.5714' in lines
    assert 'mean IoU                   0.2614   over the 4 of 4 classes in the truth or the prediction' in lines
    assert '  present classes          0.3485   over the 3 of 4 classes in the truth' in lines
