"""What TensorBoard shows of a run, read by its own reader: each step once, pictures of the validation, a profile."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.dataset_split import DatasetSplit
from seg_pipeline.imaging import visualization
from seg_pipeline.input import decoding
from tests import fake_data
from trainer import config, options
from trainer.evaluation import confusion_picture, metrics
from trainer.models import trained
from trainer.training import checkpoints, history, loop, summaries

RECIPE = config.Recipe(
    encoder='tiny',
    encoder_weights='none',
    batch_size=4,
    epochs=2,
    frozen_epochs=1,
    steps_per_epoch=3,
    augmentation='none',
    optimizer='sgd',
    learning_rate=0.01,
    warmup_steps=2,
)


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=9, splits='train:0.5,validation:0.5')


class _Never:
    requested = False


def _train(model_dir, data_dir, devices, recipe=RECIPE, **runtime):
    found = manifest.read(data_dir)
    run = config.RunConfig(recipe, config.Data.from_manifest(found))
    state = checkpoints.create_state(run, devices, None)
    config.write(str(model_dir), run)
    loop.TrainingLoop(
        run=run,
        runtime=options.RuntimeOptions(**runtime),
        train_split=DatasetSplit(data_dir, found, 'train'),
        validation_split=DatasetSplit(data_dir, found, 'validation'),
        model_dir=str(model_dir),
        devices=devices,
        state=state,
    ).train(_Never())
    return [np.asarray(weight) for weight in state.model.weights]


def _read(model_dir):
    """By tag, (step, value) of every event."""
    found = event_accumulator.EventAccumulator(
        str(model_dir / 'tensorboard'), size_guidance={'tensors': 0}, purge_orphaned_data=False
    )
    found.Reload()
    tags = found.Tags()['tensors']
    return {tag: [(event.step, tf.make_ndarray(event.tensor_proto)) for event in found.Tensors(tag)] for tag in tags}


@pytest.fixture(scope='module')
def complete(tmp_path_factory, data_dir, one_device):
    model_dir = tmp_path_factory.mktemp('complete')
    return model_dir, _train(model_dir, data_dir, one_device)


def test_every_step_and_every_epoch_is_there(complete):
    model_dir, _ = complete
    events = _read(model_dir)
    rates = events[summaries.STEP_LEARNING_RATE]
    assert [step for step, _ in rates] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose([rate for _, rate in rates], [0.005, 0.01, 0.01] * 2)
    norms = events[summaries.STEP_GRADIENT_NORM]
    assert [step for step, _ in norms] == [1, 2, 3, 4, 5, 6]
    assert all(norm > 0 for _, norm in norms)
    rows = history.read(str(model_dir))
    for column in ('loss', 'images_per_second', 'val_mean_iou'):
        assert [step for step, _ in events[column]] == [3, 6]
        np.testing.assert_allclose([v for _, v in events[column]], [float(row[column]) for row in rows], rtol=1e-5)


def test_photos_are_those_of_the_validation_split_with_truth_and_prediction(complete, data_dir):
    model_dir, _ = complete
    split = DatasetSplit.read(data_dir, 'validation')
    model, run = trained.load(str(model_dir), 'latest')
    pairs = list(decoding.decoded_in_order(split).as_numpy_iterator())[:4]
    expected = visualization.panels(
        [
            visualization.PanelRow(
                f'photo {i + 1}', image, np.argmax(model(image[None])[0], axis=-1).astype(np.uint8), mask[..., 0]
            )
            for i, (image, mask) in enumerate(pairs)
        ],
        run.label_map,
    )
    shown = _read(model_dir)[summaries.PANELS]
    assert [step for step, _ in shown] == [3, 6]
    width, height, picture = shown[-1][1]
    assert (int(height), int(width)) == expected.shape[:2]
    np.testing.assert_array_equal(tf.io.decode_png(picture), expected)


def test_the_confusion_matrix_is_drawn(complete, data_dir):
    model_dir, _ = complete
    model, run = trained.load(str(model_dir), 'latest')
    matrix = np.zeros((4, 4), np.int64)
    for image, mask in decoding.decoded_in_order(DatasetSplit.read(data_dir, 'validation')).as_numpy_iterator():
        np.add.at(matrix, (mask[..., 0].ravel(), np.argmax(model(image[None])[0], axis=-1).ravel()), 1)
    expected = confusion_picture.draw(metrics.from_confusion_matrix(matrix), run.label_map)
    shown = _read(model_dir)[summaries.CONFUSION]
    assert [step for step, _ in shown] == [3, 6]
    np.testing.assert_array_equal(tf.io.decode_png(shown[-1][1][2]), expected)


@pytest.mark.parametrize('killed_at', [2, 3, 6])
def test_a_run_that_was_killed_while_it_saved_shows_nothing_twice(
    tmp_path, data_dir, one_device, complete, monkeypatch, killed_at
):
    save = checkpoints.Checkpointer.save

    def killed(self):
        if int(self._state.step) == killed_at:
            raise SystemExit
        save(self)

    monkeypatch.setattr(checkpoints.Checkpointer, 'save', killed)
    with pytest.raises(SystemExit):
        _train(tmp_path, data_dir, one_device, checkpoint_every_steps=2)
    monkeypatch.undo()
    assert max(step for step, _ in _read(tmp_path)[summaries.STEP_GRADIENT_NORM]) == killed_at
    weights = _train(tmp_path, data_dir, one_device, checkpoint_every_steps=2)
    model_dir, expected_weights = complete
    assert all(np.array_equal(a, b) for a, b in zip(weights, expected_weights, strict=True))
    found, expected = _read(tmp_path), _read(model_dir)
    assert found.keys() == expected.keys()
    for tag, events in expected.items():
        assert sorted(step for step, _ in found[tag]) == [step for step, _ in events], tag
        if tag not in ('images_per_second', 'seconds', 'input_wait_share'):
            of_step = dict(found[tag])
            assert all(np.array_equal(of_step[step], value) for step, value in events), tag


def test_a_profile_is_of_the_steps_and_changes_no_weight(tmp_path, data_dir, one_device, complete):
    weights = _train(tmp_path, data_dir, one_device, profile_steps=(2, 4))
    assert all(np.array_equal(a, b) for a, b in zip(weights, complete[1], strict=True))
    (profile,) = pathlib.Path(tmp_path, 'tensorboard', 'plugins', 'profile').glob('*/*.xplane.pb')
    content = profile.read_bytes()
    assert len(content) > 1000
    found = _steps_of(content)
    assert found == {2, 3, 4}
    assert _read(tmp_path).keys() == _read(complete[0]).keys()


def _steps_of(content):
    """The numbers of the steps that a profile names."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace.FromString(content)
    found = set()
    for plane in space.planes:
        names = {number: stat.name for number, stat in plane.stat_metadata.items()}
        for event in (event for line in plane.lines for event in line.events):
            if plane.event_metadata[event.metadata_id].name == 'train':
                found |= {stat.int64_value for stat in event.stats if names[stat.metadata_id] == 'step_num'}
    return found


def test_averaged_weights_are_those_of_the_photos(tmp_path, data_dir, two_devices):
    recipe = dataclasses.replace(
        RECIPE, ema_decay=0.5, epochs=1, frozen_epochs=0, steps_per_epoch=2, accumulation_steps=2
    )
    _train(tmp_path, data_dir, two_devices, recipe)
    events = _read(tmp_path)
    assert [step for step, _ in events[summaries.STEP_GRADIENT_NORM]] == [1, 2]
    model, run = trained.load(str(tmp_path), 'latest')  # the average
    pairs = list(decoding.decoded_in_order(DatasetSplit.read(data_dir, 'validation')).as_numpy_iterator())[:4]
    rows = [
        visualization.PanelRow(
            f'photo {i + 1}', image, np.argmax(model(image[None])[0], -1).astype(np.uint8), m[..., 0]
        )
        for i, (image, m) in enumerate(pairs)
    ]
    picture = events[summaries.PANELS][-1][1][2]
    np.testing.assert_array_equal(tf.io.decode_png(picture), visualization.panels(rows, run.label_map))
