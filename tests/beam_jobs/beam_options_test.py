"""Beam's options with this machine's own runner: each one has an effect or is refused; with others all pass."""

import json

import apache_beam as beam
import pytest
from apache_beam.options import pipeline_options_validator
from apache_beam.options.pipeline_options import PipelineOptions, S3Options

from beam_jobs import beam_options, runners
from seg_pipeline import errors
from seg_pipeline.storage import s3

# What a run reads of options that change nothing for it, and why.
_READ_WITHOUT_EFFECT = {
    'direct_embed_docker_python': 'of transforms that ask for a Docker image; none does here',
    'resource_hints': 'wishes for the machines that an engine chooses',
    'save_main_session': 'pickles the main module as a trial; worker processes here import their modules',
}
# A value for each flag that takes one and no word.
_VALUES = {int: '1', float: '1', json.loads: '{}', None: 'x', str: 'x'}


def _flags():
    # Of Beam's own classes: tests elsewhere may have made others.
    classes = [each for each in PipelineOptions.__subclasses__() if each.__module__.startswith('apache_beam.options')]
    for options in classes:
        for action in beam_options.actions(options):
            for flag in action.option_strings:
                yield pytest.param(options, action, flag, id=flag)


def _argument(action, flag):
    if action.nargs == 0:
        return flag
    value = action.choices[0] if action.choices else _VALUES.get(action.type, '1')
    if flag.startswith(('--gcs_custom_audit', '--sdk_harness_log_level', '--transform_name', '--beam_services')):
        value = '{"a": "INFO"}'
    return f'{flag}={value}'


@pytest.mark.parametrize(('options', 'action', 'flag'), list(_flags()))
def test_each_option_has_an_effect_or_is_refused_by_name(options, action, flag):
    if flag == '--runner':
        return  # the tests below
    argument = _argument(action, flag)
    if beam_options.is_effective(options, action.dest):
        assert action.dest in runners.parse_options([argument]).get_all_options()
    else:
        with pytest.raises(errors.UserError, match=f'^{flag} has no effect on the runner of this machine'):
            runners.parse_options([argument])
    assert not runners.is_local(runners.parse_options(['--runner=FlinkRunner', argument]))


def test_what_a_run_reads_is_not_refused(monkeypatch):
    """Every option that is asked for while a pipeline runs here, or a store is made, counts as one with an effect."""
    read = set()
    get = PipelineOptions.__getattr__

    def note(options, name):
        read.add(name)
        return get(options, name)

    given = runners.parse_options(['--direct_num_workers=1', '--s3_region_name=x', '--s3_access_key_id=x'])
    given.view_as(S3Options).s3_secret_access_key = 'x'
    monkeypatch.setattr(PipelineOptions, '__getattr__', note)
    # It looks at the options of every engine, and says nothing here.
    monkeypatch.setattr(pipeline_options_validator.PipelineOptionsValidator, 'validate', lambda _: [])
    runners.run(lambda p: p | beam.Create([1, 2]) | beam.Reshuffle() | beam.CombineGlobally(sum), given)
    s3.S3Store(given)
    monkeypatch.undo()
    assert {'experiments', 'direct_num_workers', 'profile_cpu', 's3_region_name'} <= read  # the watch works
    known = {
        action.dest: beam_options.is_effective(options, action.dest)
        for options in PipelineOptions.__subclasses__()
        for action in beam_options.actions(options)
    }
    refused = {name for name in read if known.get(name) is False}
    assert refused == set(_READ_WITHOUT_EFFECT)


@pytest.mark.parametrize('name', ['DirectRunner', 'directrunner', 'direct', 'FnApiRunner', 'fnapi'])
def test_beams_spellings_of_the_local_runner(name):
    assert runners.is_local(runners.parse_options([f'--runner={name}']))
    with pytest.raises(errors.UserError, match=r'^--num_workers has no effect'):
        runners.parse_options([f'--runner={name}', '--num_workers=3'])


@pytest.mark.parametrize(
    'name', ['Bogus', 'bogus.Runner', 'beam_jobs.runners.Bogus', '.', '.x', '.x.Runner', '..x.Runner', 'a..b', 'x.']
)
def test_a_runner_that_does_not_exist(name):
    with pytest.raises(errors.UserError, match=rf'^--runner={name}: .*known are .*FlinkRunner.*PrismRunner'):
        runners.parse_options([f'--runner={name}'])


def test_a_runner_by_the_path_of_its_class():
    path = 'apache_beam.runners.portability.flink_runner.FlinkRunner'
    assert not runners.is_local(runners.parse_options([f'--runner={path}', '--num_workers=3']))


@pytest.mark.parametrize('number', ['-3', '1025', '99999999999', '1e3', 'nan', '²', ''])
def test_numbers_of_workers(number, capsys):
    with pytest.raises(errors.UserError, match='direct_num_workers'):
        runners.parse_options([f'--direct_num_workers={number}'])
    assert capsys.readouterr().err == ''  # argparse's usage has a hundred lines


def test_a_mode_that_does_not_exist(capsys):
    with pytest.raises(errors.UserError, match=r'direct_running_mode.*in_memory'):
        runners.parse_options(['--direct_running_mode=quick'])
    assert capsys.readouterr().err == ''
