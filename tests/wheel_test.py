"""The wheel, and what Beam sends to workers, in empty environments: what travels, and what is said without an extra."""

import os
import pathlib
import shutil
import subprocess
import sys
import venv

import pytest
from apache_beam.runners.portability import stager

from tests import fake_data

_ROOT = pathlib.Path(__file__).parents[1]
# What the base installation has and the train extra brings: hidden from the environment in which the wheel is tried.
_HIDDEN = ('tensorflow', 'keras', 'matplotlib', 'tensorboard')


@pytest.fixture(scope='module')
def python(tmp_path_factory):
    """The interpreter of an environment that has the wheel, and the dependencies of this one without the train extra.

    A new environment with everything from the index would need minutes and a network; whether setup.py names all that
    is needed is told by the lock, which is made from it alone.
    """
    directory = tmp_path_factory.mktemp('wheel')
    source = directory / 'source'
    subprocess.run(['git', 'clone', '--quiet', str(_ROOT), str(source)], check=True)
    build = [sys.executable, '-m', 'build', '--wheel', '--no-isolation', '--outdir', str(directory), str(source)]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = directory.glob('*.whl')
    venv.create(directory / 'venv', with_pip=True)
    interpreter = directory / 'venv' / 'bin' / 'python'
    install = [str(interpreter), '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-index', str(wheel)]
    subprocess.run(install, check=True)
    (packages,) = (directory / 'venv').glob('lib/python*/site-packages')
    _link_dependencies(packages)
    return str(interpreter)


def _link_dependencies(packages):
    (here,) = {path for path in map(pathlib.Path, sys.path) if path.name == 'site-packages'}
    for path in here.iterdir():
        hidden = path.name.startswith(_HIDDEN) and not path.name.startswith('tensorflow_')
        ours = path.name.lower().replace('-', '_').startswith(('seg_pipeline', '__editable__'))
        if not hidden and not ours and not (packages / path.name).exists():
            (packages / path.name).symlink_to(path)


def _run(python, cwd, *arguments):
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    command = [python, '-m', *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_wheel_outside_the_checkout(python, tmp_path):
    fake_data.write_pairs(tmp_path / 'pairs', num_pairs=10)
    done = _run(
        python,
        tmp_path,
        'beam_jobs.prepare_dataset',
        '--images=pairs/images',
        '--masks=pairs/masks',
        '--labels=pairs/labels.csv',
        '--output_dir=out',
        '--image_size=32,32',
    )
    assert done.returncode == 0, done.stderr
    dataset_dir = done.stdout.splitlines()[-1]
    assert _run(python, tmp_path, 'seg_pipeline.verify', dataset_dir).returncode == 0
    train = (
        'trainer.train',
        f'--data_dir={dataset_dir}',
        '--model_dir=run',
        '--flagfile=trainer/recipes/article.flags',
    )
    missing = _run(python, tmp_path, *train)
    assert missing.returncode == 2
    assert 'pip install "seg-pipeline[train]"' in missing.stderr
    assert len(missing.stderr.splitlines()) == 1
    (here,) = {path for path in sys.path if path.endswith('site-packages')}
    (packages,) = pathlib.Path(python).parents[1].glob('lib/python*/site-packages')
    for path in pathlib.Path(here).iterdir():
        if path.name.startswith(_HIDDEN) and not (packages / path.name).exists():
            (packages / path.name).symlink_to(path)
    trained = _run(
        python, tmp_path, *train, '--encoder=tiny', '--encoder_weights=none', '--epochs=1', '--frozen_epochs=0',
        '--steps_per_epoch=1', '--batch_size=2',
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert (tmp_path / 'run' / 'history.csv').exists()


@pytest.mark.slow
def test_cards_and_tables_travel_in_the_wheel(python, tmp_path):
    _link_dependencies(*pathlib.Path(python).parents[1].glob('lib/python*/site-packages'))
    code = (
        'import importlib.resources as r\n'
        "files = {p.name for p in r.files('seg_pipeline.clothing_parsing').iterdir()}\n"
        "print(*sorted({'labels.csv', 'README.md', 'TAGS.txt', 'CITATIONS.bib'} - files))"
    )
    done = subprocess.run([python, '-c', code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ''
    drawn = _run(python, tmp_path, 'seg_pipeline.synthetic', '--output_dir=pairs', '--pairs=1')
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / 'pairs' / 'labels.csv').read_bytes() == (
        _ROOT / 'seg_pipeline/clothing_parsing/labels.csv'
    ).read_bytes()


@pytest.mark.slow
def test_what_beam_sends_to_the_workers_of_an_engine(tmp_path):
    """--setup_file: Beam builds a source distribution of a clean checkout, and each worker installs it."""
    source = tmp_path / 'source'
    subprocess.run(['git', 'clone', '--quiet', str(_ROOT), str(source)], check=True)
    built = stager.Stager._build_setup_package(str(source / 'setup.py'), str(tmp_path))
    venv.create(tmp_path / 'venv', with_pip=True)
    python = str(tmp_path / 'venv' / 'bin' / 'python')
    (packages,) = (tmp_path / 'venv').glob('lib/python*/site-packages')
    for path in packages.glob('setuptools*'):  # older than what builds it; a worker's pip gets the new one
        shutil.rmtree(path)
    _link_dependencies(packages)
    options = ['--quiet', '--no-deps', '--no-index', '--no-build-isolation']
    subprocess.run([python, '-m', 'pip', 'install', *options, built], check=True)
    program = (
        'import sys; from apache_beam.runners.worker import sdk_worker_main; from beam_jobs import transforms; '
        'from seg_pipeline.clothing_parsing import source; print(transforms.__file__, "tensorflow" in sys.modules)'
    )
    done = _run(python, tmp_path, 'timeit', '-n1', '-r1', '-s', program, 'pass')
    assert done.returncode == 0, done.stderr
    place, has_tensorflow = done.stdout.splitlines()[0].rsplit(maxsplit=1)
    assert place.startswith(str(tmp_path / 'venv'))
    assert has_tensorflow == 'False'
