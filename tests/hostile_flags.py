"""Gives every flag of a command every value of a hostile table, up to where its work would start.

    python -m tests.hostile_flags COMMAND DIRECTORY

runs in a process of its own, since the commands define flags of the same names, and prints a JSON list of `Case`. What
starts the work is replaced by a mark; everything before it is the command's own. The flags come from absl's registry,
so that a new one is in the table without being named.
"""

import contextlib
import dataclasses
import importlib
import io
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from absl import flags
from absl.testing import flagsaver

from seg_pipeline import command_line
from tests import fake_data

VALUES = {
    'empty': '',
    'blank': ' ',
    'zero': '0',
    'minus one': '-1',
    'half': '0.5',
    'huge float': '1e9999',
    'nan': 'nan',
    'inf': 'inf',
    '-inf': '-inf',
    'superscript': '²',
    'arabic digit': '١',
    'superscripts': '²,²',
    'arabic version': '١.٠.٠',
    'leading zero': '01.00.0',
    'two digits': '07',
    '2**31': str(2**31),
    '2**32': str(2**32),
    '2**63': str(2**63),
    '2**70': str(2**70),
    'thousands of digits': '1' * 4000,
    'true': 'true',
    'comma': ',',
    'colon': ':',
    'a:b:c': 'a:b:c',
    'control': 'a\x01b',
    'escape': '\x1b[31mred',
    'tab': 'a\tb',
    'newline': 'a\nerror: b',
    'long': 'a' * 10_000,
    'long name': 'a' * 300,
    'surrogate': 'a\udcffb',
    'reserved': 'all',
    'split all': 'all:0.5,train:0.5',
    'split arabic': 'train١:0.5,validation:0.5',
    'split path': '../x:0.5,train:0.5',
    'split long': 'a' * 65 + ':1',
    'huge fraction': 'train:1e9999,validation:0.2',
    'tiny fraction': 'train:1e-999999999,validation:1',
    'nan fraction': 'train:nan,validation:0.2',
    'infinite fraction': 'train:inf,validation:0.2',
    'superscript count': 'train:²,validation:1',
    'huge size': '2147483647,2147483647',
    'file': 'FILE',
    'directory': 'DIRECTORY',
    'empty directory': 'EMPTY',
    'missing': 'no/such/file',
    'above': '../x',
    'list of words': 'train:FILE',
    'list of a directory': 'train:DIRECTORY',
    'missing list': 'train:no/such/file',
    'group': '(',
    'scheme': 'x://y',
    'no bucket': 's3://',
    'no host': 'hdfs://',
}


class Started(BaseException):
    """The work would start now."""


@dataclasses.dataclass
class Case:
    """What a command said to one value.

    Attributes:
        flag: its name; empty for the argument without a flag.
        value: its key in `VALUES`.
        text: the value.
        code: the exit code; None where the work would have started.
        error: what it printed on stderr.
        left: the files and directories that are there afterwards and were not before, if it was refused.
    """

    flag: str
    value: str
    text: str
    code: int | None
    error: str
    left: list[str]


@dataclasses.dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        module: its module.
        arguments: a call that would start the work; `{dir}` is the directory with `src`, `dataset` and `run`.
        start: the function in which the work starts, as `module:name`; none for a command that may run.
        positional: an argument without a flag.
    """

    module: str
    arguments: tuple[str, ...]
    start: tuple[str, ...] = ()
    positional: str = ''


_RUN = ('--model_dir={dir}/run',)
COMMANDS = {
    'prepare_dataset': Command(
        'beam_jobs.prepare_dataset',
        (
            '--images={dir}/src/images',
            '--masks={dir}/src/masks',
            '--labels={dir}/src/labels.csv',
            '--output_dir={dir}/new',
            '--direct_num_workers=1',
        ),
        ('beam_jobs.runners:run',),
    ),
    'verify': Command(
        'seg_pipeline.verify', ('--repair', '--images={dir}/src/images', '--masks={dir}/src/masks'), (), '{dataset}'
    ),
    'synthetic': Command(
        'seg_pipeline.synthetic.__main__',
        ('--output_dir={dir}/new',),
        ('seg_pipeline.synthetic.pair_set:draw_pair',),
    ),
    'train': Command(
        'trainer.train',
        ('--data_dir={dataset}', '--model_dir={dir}/new', '--encoder=tiny', '--encoder_weights=none'),
        ('trainer.training.checkpoints:create_state',),
    ),
    'evaluate': Command('trainer.evaluate', (*_RUN, '--data_dir={dataset}'), ('trainer.models.trained:load',)),
    'predict': Command(
        'trainer.predict',
        (*_RUN, '--images={dir}/src/images', '--output_dir={dir}/new', '--data_dir={dataset}', '--split=train'),
        ('trainer.models.trained:load',),
    ),
    'show_augmentation': Command(
        'trainer.show_augmentation',
        ('--data_dir={dataset}', '--output_dir={dir}/new'),
        ('trainer.report.augmentation_page:render',),
    ),
    'export': Command('trainer.export', (*_RUN, '--output_dir={dir}/new'), ('trainer.inference.exporters:export',)),
}


def _prepare(directory: pathlib.Path) -> dict[str, str]:
    """Makes what the commands need and returns what the placeholders stand for."""
    from trainer import config

    fake_data.write_pairs(directory / 'src', num_pairs=5)
    dataset = fake_data.make_dataset(directory / 'dataset', num_pairs=5)
    recipe = config.Recipe(encoder='tiny', encoder_weights='none')
    (directory / 'run').mkdir()
    config.write(
        str(directory / 'run'), config.RunConfig(recipe, config.Data.from_manifest(config.read_manifest(dataset)))
    )
    (directory / 'cwd' / 'EMPTY').mkdir(parents=True)
    (directory / 'cwd' / 'DIRECTORY').mkdir()
    (directory / 'cwd' / 'DIRECTORY' / 'note').write_text('x\n')
    (directory / 'cwd' / 'FILE').write_text('x\n')
    os.chdir(directory / 'cwd')
    return {'dir': str(directory), 'dataset': dataset}


def _tree(directory: pathlib.Path) -> set[str]:
    return {os.path.join(parent, name) for parent, *names in os.walk(directory) for group in names for name in group}


def _start(*_: Any, **__: Any) -> None:
    raise Started


def _call(main: Callable[[list[str]], int | None], arguments: list[str], known_only: bool) -> tuple[int | None, str]:
    """The exit code, None where the work would start, and what was printed on stderr."""
    error = io.StringIO()
    # As strict as a real one: what is no text cannot be printed.
    output = io.TextIOWrapper(io.BytesIO(), 'utf-8', errors='strict')
    sys.argv = ['command', *arguments]
    with (
        flagsaver.flagsaver(),
        contextlib.redirect_stderr(error),
        contextlib.redirect_stdout(output),
    ):
        try:
            command_line.run(main, known_only=known_only)
        except SystemExit as end:
            return int(end.code or 0), error.getvalue()
        except Started:
            return None, error.getvalue()
        except Exception as failure:
            return 1, f'{error.getvalue()}Traceback: {type(failure).__name__}: {str(failure)[:300]}'


def cases(name: str, directory: pathlib.Path) -> Iterator[Case]:
    """Calls a command once for each of its flags and values."""
    command = COMMANDS[name]
    places = _prepare(directory)
    module = importlib.import_module(command.module)
    for place in command.start:
        owner, _, function = place.partition(':')
        mock.patch.object(importlib.import_module(owner), function, _start).start()
    if name in ('train', 'evaluate'):  # in one process the devices can be made once
        from trainer import strategy

        devices = strategy.make('one_device')
        mock.patch.object(strategy, 'make', return_value=devices).start()
    arguments = [argument.format(**places) for argument in command.arguments]
    positional = [command.positional.format(**places)] if command.positional else []
    known_only = name == 'prepare_dataset'
    code, error = _call(module.main, [*arguments, *positional], known_only)
    assert code in (None, 0), error  # the command itself is good, or what follows says nothing
    names = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(module)]
    for flag in [*names, *([''] if command.positional else [])]:
        for value, text in VALUES.items():
            before = _tree(directory)
            given = [*arguments, f'--{flag}={text}', *positional] if flag else [*arguments, text]
            code, error = _call(module.main, given, known_only)
            after = _tree(directory)
            yield Case(flag, value, text, code, error, sorted(after - before) if code else [])
            for path in sorted(after - before, reverse=True):  # the next one shall find what this one found
                os.rmdir(path) if os.path.isdir(path) else os.unlink(path)


if __name__ == '__main__':
    done = [dataclasses.asdict(case) for case in cases(sys.argv[1], pathlib.Path(sys.argv[2]))]
    print(json.dumps(done))
