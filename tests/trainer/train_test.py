"""The training command as users call it: in a process of its own."""

import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from seg_pipeline.dataset import manifest
from tests import fake_data
from trainer import config
from trainer.models import trained

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ('--encoder=tiny', '--encoder_weights=none', '--batch_size=4', '--frozen_epochs=0')


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=12, splits='train:0.75,validation:0.25')


def _command(*arguments, module='trainer.train'):
    return [sys.executable, '-m', module, *map(str, arguments)]


def _call(*arguments, module='trainer.train', **options):
    return subprocess.run(
        _command(*arguments, module=module), cwd=ROOT, capture_output=True, text=True, check=False, **options
    )


def test_two_devices_learn_the_weights_of_one(tmp_path, data_dir):
    # With the seed 0 rounding decides the sign of what a ReLU gets in the last steps: one bias moves by 1e-5. With 1, 2
    # and 3 the largest difference is 6e-8.
    options = (*SMALL, '--seed=1', '--epochs=1', '--steps_per_epoch=5', '--optimizer=sgd', '--learning_rate=0.01')
    weights = []
    for devices in (1, 2):
        run = tmp_path / str(devices)
        done = _call(f'--data_dir={data_dir}', f'--model_dir={run}', f'--virtual_devices={devices}', *options)
        assert done.returncode == 0, done.stderr
        assert f'{devices} device(s)' in done.stdout
        assert 'epoch 1/1 (fine_tune)  step 5/5  loss' in done.stdout
        lines = done.stdout.splitlines()
        assert f'evaluate: python -m trainer.evaluate --model_dir={run} --data_dir={data_dir}' in lines
        assert f'watch:    tensorboard --logdir={run}/tensorboard' in lines
        place, _, named = lines[-1].partition(': ')
        assert place == str(run)
        names = named.replace('the best model in ', '').replace('the latest state in ', '').split(', ')
        assert names == ['best', 'checkpoints', 'history.csv', 'curves.png', 'tensorboard']
        assert all((run / name).exists() for name in names)
        weights.append(trained.load(str(run), 'latest')[0].get_weights())
    assert max(np.abs(a - b).max() for a, b in zip(*weights, strict=True)) < 1e-6


@pytest.mark.parametrize('deterministic', [False, True])
def test_operations_are_deterministic_where_that_is_asked_for(tmp_path, data_dir, deterministic):
    program = f"""
from tensorflow.python.framework import config as of_tensorflow
from trainer import config, jobs, options
from trainer.training import checkpoints

def report(*_):
    raise SystemExit(f'determinism: {{of_tensorflow.is_op_determinism_enabled()}}')

checkpoints.create_state = report
recipe = config.Recipe(encoder='tiny', encoder_weights='none')
jobs.train({str(data_dir)!r}, {str(tmp_path / 'run')!r}, recipe, options.RuntimeOptions(deterministic={deterministic}))
"""
    done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert f'determinism: {deterministic}' in done.stderr


def test_a_signal_stops_the_run_where_it_can_go_on(tmp_path, data_dir):
    options = (f'--data_dir={data_dir}', f'--model_dir={tmp_path / "run"}', *SMALL, '--steps_per_epoch=2')
    options += ('--augmentation=none',)  # less to trace
    with subprocess.Popen(
        _command(*options, '--epochs=100000'), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        while 'epoch 1/' not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    stopped = output.splitlines()[-1]
    assert stopped.endswith('; the same command goes on from there')
    step = int(stopped.split()[3].rstrip(';'))
    assert trained.step_of(str(tmp_path / 'run'), 'latest') == step
    done = _call(*options, f'--epochs={step // 2 + 1}')
    assert done.returncode == 0, done.stderr
    assert f'after step {step}' in done.stdout
    assert trained.step_of(str(tmp_path / 'run'), 'latest') == (step // 2 + 1) * 2


def _assert_refused(done, message, model_dir):
    assert done.returncode == 2
    assert message in done.stderr
    assert 'Traceback' not in done.stderr
    assert done.stderr.splitlines()[-1].startswith('error: ')
    assert not model_dir.exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--encoder=resnet51'], 'resnet51'),
        (['--batch_size=0'], 'batch_size'),
        (['--epochs=3', '--frozen_epochs=4'], '--frozen_epochs=4 is more than --epochs=3'),
        (['--encoder_weights=imagenet'], 'encoder tiny has no ImageNet weights'),
        (['--encoder_weights=/nowhere/w.h5'], '--encoder_weights=/nowhere/w.h5 is neither imagenet, none nor a file'),
        (['--data_dir=/nowhere'], '/nowhere: no data set'),
        (['--data_dir={root}'], 'no data set'),
        (['--no_such_flag=1'], 'no_such_flag'),
        (['--flagfile=/nowhere/x.flags'], '/nowhere/x.flags'),
        (['--profile_steps=3,2'], '--profile_steps=3,2: give the first and the last step, counted from 1'),
        (['stray'], "unexpected argument 'stray'"),
    ],
)
def test_mistakes_are_answered_on_one_line_before_tensorflow_loads(tmp_path, data_dir, arguments, message):
    model_dir = tmp_path / 'run'
    given = [argument.format(root=ROOT) for argument in arguments]
    done = _call(f'--data_dir={data_dir}', f'--model_dir={model_dir}', *SMALL, '--epochs=1', *given)
    _assert_refused(done, message, model_dir)
    assert len(done.stderr.splitlines()) == 1


def test_a_mistake_that_only_tensorflow_finds_leaves_nothing_behind(tmp_path, data_dir):
    model_dir = tmp_path / 'run'
    done = _call(
        f'--data_dir={data_dir}',
        f'--model_dir={model_dir}',
        *SMALL,
        '--epochs=1',
        '--batch_size=3',
        '--virtual_devices=2',
    )
    _assert_refused(done, '--batch_size=3 (global) cannot be split evenly over 2 devices', model_dir)
    if not os.path.exists('/dev/nvidiactl'):  # where there is a GPU, TensorFlow has more to say
        assert len(done.stderr.splitlines()) == 1


def test_an_altered_shard_is_refused(tmp_path):
    altered = fake_data.make_dataset(tmp_path / 'data', num_pairs=4)
    shard = next(pathlib.Path(altered).glob('*train.tfrecord*'))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    done = _call(f'--data_dir={altered}', f'--model_dir={tmp_path / "run"}', *SMALL)
    _assert_refused(done, str(shard), tmp_path / 'run')
    assert 'SHA-256' in done.stderr


def test_a_size_that_the_stride_does_not_divide_is_refused(tmp_path):
    odd = fake_data.make_dataset(tmp_path / 'data', num_pairs=4, image_size=(48, 32))
    done = _call(f'--data_dir={odd}', f'--model_dir={tmp_path / "run"}', *SMALL)
    _assert_refused(done, '48x32', tmp_path / 'run')


def test_a_run_of_another_recipe_is_refused_and_kept(tmp_path, data_dir):
    data = config.Data.from_manifest(manifest.read(data_dir))
    config.write(str(tmp_path), config.RunConfig(config.Recipe(encoder='tiny', encoder_weights='none'), data))
    before = (tmp_path / 'config.json').read_bytes()
    done = _call(f'--data_dir={data_dir}', f'--model_dir={tmp_path}', *SMALL, '--optimizer=sgd')
    assert done.returncode == 2
    assert (
        '--batch_size is 64 there and 4 here; --frozen_epochs is 20 there and 0 here; '
        '--optimizer is rmsprop there and sgd here'
    ) in done.stderr
    assert os.listdir(tmp_path) == ['config.json']
    assert (tmp_path / 'config.json').read_bytes() == before


def test_without_tensorflow_the_commands_say_what_to_install():
    for module in ('trainer.train', 'trainer.evaluate'):
        without = (
            f'import runpy, sys; sys.modules["tensorflow"] = None; runpy.run_module("{module}", run_name="__main__")'
        )
        command = [sys.executable, '-c', without, '--data_dir=DATASET_DIR', '--model_dir=RUN']
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.splitlines() == [
            'error: the trainer needs tensorflow, which is not installed: pip install "seg-pipeline[train]"'
        ]


@pytest.mark.parametrize('recipe', ['article', 'demo', 'pretrained'])
def test_a_packaged_recipe_works_outside_the_checkout(tmp_path, recipe):
    environment = os.environ | {'PYTHONPATH': str(ROOT)}
    done = subprocess.run(
        _command(f'--flagfile=trainer/recipes/{recipe}.flags', '--data_dir=/nowhere', '--model_dir=run'),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert '/nowhere: no data set' in done.stderr
