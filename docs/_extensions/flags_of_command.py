"""Prints, as JSON, what a command says of itself: its docstring and its absl flags.

    python docs/_extensions/flags_of_command.py MODULE

A process for each command, because two commands may define a flag of one name, which absl refuses in one process.
"""

import importlib
import json
import sys
from typing import Any

from absl import flags

_REQUIRED = 'must have a value other than None'  # what absl's own check of required=True says


def describe(module_name: str) -> dict[str, Any]:
    """The docstring of a command's module, and its flags in the order in which `--help` lists them."""
    module = importlib.import_module(module_name)
    if hasattr(module, '__path__'):  # `python -m PACKAGE` runs its __main__
        module = importlib.import_module(f'{module_name}.__main__')
    found = flags.FLAGS.get_key_flags_for_module(module)
    return {'doc': module.__doc__, 'flags': [_describe_flag(flag) for flag in found]}


def _describe_flag(flag: flags.Flag) -> dict[str, Any]:
    parser = flag.parser
    return {
        'name': flag.name,
        'help': flag.help,
        'default': flag.default,
        'boolean': flag.boolean,
        'required': any(_REQUIRED in check.message for check in flag.validators),
        'type': flag.flag_type(),
        'values': list(getattr(parser, 'enum_values', ())),
        'lower_bound': getattr(parser, 'lower_bound', None),
        'upper_bound': getattr(parser, 'upper_bound', None),
    }


if __name__ == '__main__':
    print(json.dumps(describe(sys.argv[1])))
