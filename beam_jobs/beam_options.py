"""Which of Beam's options have an effect on this machine's own runner, and which runners there are.

Beam accepts every option with every runner: one for Dataflow's machines, given to a job that runs here, changes nothing
without a word.
"""

import argparse
import importlib
from collections.abc import Iterator, Mapping, Sequence

from apache_beam.options import pipeline_options as beam_options
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from seg_pipeline import errors

LOCAL_RUNNERS = ('DirectRunner', 'FnApiRunner')

# What the construction of a pipeline, the local runner, its workers and the stores read, by Beam's classes of options
# (names are `dest`, since some flags have several spellings). A class that is absent configures another engine, its
# machines, the staging of files for them, or a file system that is no store here.
_EFFECTIVE: Mapping[type[PipelineOptions], Sequence[str] | None] = {  # None: all of the class
    StandardOptions: ('runner', 'auto_unique_labels'),
    beam_options.StreamingOptions: None,  # has the version that coders are compatible with, alone
    beam_options.TypeOptions: None,
    beam_options.DirectOptions: (
        'direct_num_workers',
        'direct_running_mode',
        'direct_runner_bundle_repeat',
        'direct_test_splits',
    ),
    beam_options.WorkerOptions: (
        'default_sdk_harness_log_level',
        'sdk_harness_log_level_overrides',
        'max_cache_memory_usage_mb',
        'element_processing_timeout_minutes',
    ),
    beam_options.SetupOptions: ('beam_plugins', 'pickle_library', 'gbek'),
    beam_options.DebugOptions: ('experiments',),
    beam_options.ProfilingOptions: ('profile_cpu', 'profile_memory', 'profile_location', 'profile_sample_rate'),
    beam_options.S3Options: None,
    beam_options.HadoopFileSystemOptions: None,
    # Those that Google's client for gs:// is made with.
    beam_options.GoogleCloudOptions: (
        'project',
        'job_name',
        'no_auth',
        'impersonate_service_account',
        'gcp_oauth_scopes',
        'enable_bucket_read_metric_counter',
        'enable_bucket_write_metric_counter',
        'no_gcsio_throttling_counter',
        'enable_gcsio_blob_generation',
        'gcs_custom_audit_entries',
    ),
}


def runner_name(name: str | None) -> str:
    """Beam's own spelling of a runner: it takes `direct` and `directrunner` for DirectRunner.

    Args:
        name: what `--runner` says; None for the default.

    Returns:
        One of `StandardOptions.KNOWN_RUNNER_NAMES`, or the path of a class that can be imported.

    Raises:
        UserError: if there is no such runner.
    """
    if name is None:
        return 'DirectRunner'
    known: dict[str, str] = {runner.lower(): runner for runner in StandardOptions.KNOWN_RUNNER_NAMES}
    if found := known.get(name.lower()) or known.get(f'{name.lower()}runner'):
        return found
    module, _, attribute = name.rpartition('.')
    try:
        # A path that begins with a dot is one of a package that is not told here: a TypeError of importlib.
        if module and module[0] != '.' and hasattr(importlib.import_module(module), attribute):
            return name
        problem = 'there is no such runner'
    except (ImportError, ValueError) as error:
        problem = str(error)
    names = ', '.join(StandardOptions.KNOWN_RUNNER_NAMES)
    raise errors.UserError(
        f"--runner={name}: {problem}; known are {names}, and a runner's class by its path, as package.module.Runner"
    )


def check_local(arguments: Sequence[str]) -> None:
    """Makes sure that every argument is an option that has an effect on the local runner.

    Raises:
        UserError: if one is none of Beam's, or has none.
    """
    effective = {
        flag: is_effective(options, action.dest)
        for options in PipelineOptions.__subclasses__()
        for action in actions(options)
        for flag in action.option_strings
    }
    if found := unknown(arguments):
        raise errors.UserError(f'unknown flag {found[0]}: neither this command nor Beam has it. See --help')
    for argument in arguments:
        flag = argument.partition('=')[0]
        if not effective.get(flag, True):
            raise errors.UserError(
                f'{flag} has no effect on the runner of this machine: leave it out, or name another with --runner'
            )


def unknown(arguments: Sequence[str]) -> list[str]:
    """Those arguments that are no option of Beam's."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    return parser.parse_known_args(list(arguments))[1]


def is_effective(options: type[PipelineOptions], name: str) -> bool:
    """Whether an option of one of Beam's classes, by its `dest`, has an effect on the local runner."""
    names = _EFFECTIVE.get(options, ())
    return names is None or name in names


def actions(options: type[PipelineOptions]) -> Iterator[argparse.Action]:
    """The flags of one of Beam's classes of options."""
    parser = argparse.ArgumentParser(add_help=False)
    options._add_argparse_args(parser)
    yield from parser._actions
