"""A directive that describes a command by its module: the docstring, and every flag with its default.

    .. command:: trainer.train

Flags are read from the module when the site is built, so that a page cannot disagree with `--help`. The directive
writes reStructuredText: a page of Markdown calls it inside of `eval-rst`.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import plain_docstrings
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_SCRIPT = pathlib.Path(__file__).with_name('flags_of_command.py')
_ROOT = _SCRIPT.parents[2]
_VALUES = {'int': 'INTEGER', 'float': 'NUMBER'}
_ENUM_PREFIX = re.compile(r'<[^>]*>: ')  # absl repeats the values of an enum in front of its help


def describe(module: str) -> dict[str, Any]:
    """What `flags_of_command.py` says of a module. Raises `CalledProcessError` if it cannot be imported."""
    environment = {**os.environ, 'PYTHONPATH': str(_ROOT)}
    command = [sys.executable, str(_SCRIPT), module]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def to_rst(module: str, description: dict[str, Any]) -> Iterator[str]:
    """The lines of reStructuredText that describe a command."""
    yield from _docstring(description['doc'])
    yield from (f'.. program:: {module}', '')
    for flag in description['flags']:
        yield from _flag(flag)


def _docstring(text: str) -> Iterator[str]:
    for block in re.split(r'\n\s*\n', text.strip()):
        lines = block.splitlines()
        if lines[0].strip().startswith('python -m'):
            usage = textwrap.wrap(' '.join(block.split()), 84, subsequent_indent='    ', break_on_hyphens=False)
            yield from ('.. code-block:: none', '', *(f'   {line}' for line in usage), '')
            continue
        # An indented line continues the one above it; what comes after it begins a paragraph of its own.
        for above, line in zip(['', *lines], lines, strict=False):
            if above.startswith(' ') and not line.startswith(' '):
                yield ''
            yield plain_docstrings.translate(line.strip())
        yield ''


def _flag(flag: dict[str, Any]) -> Iterator[str]:
    if flag['boolean']:
        yield f'.. option:: --{flag["name"]}, --no{flag["name"]}'
    else:
        yield f'.. option:: --{flag["name"]}={_VALUES.get(flag["type"], "VALUE")}'
    help_text = _ENUM_PREFIX.sub('', flag['help'], count=1) if flag['values'] else flag['help']
    sentences = [plain_docstrings.translate(' '.join(help_text.split())), *_facts(flag)]
    yield from ('', f'   {" ".join(sentences)}', '')


def _facts(flag: dict[str, Any]) -> Iterator[str]:
    """What is known of a flag beside its help, a sentence each."""
    if flag['values']:
        yield f'One of {", ".join(map(_code, flag["values"]))}.'
    lower, upper = flag['lower_bound'], flag['upper_bound']
    if lower is not None and upper is not None:
        yield f'From {_code(lower)} to {_code(upper)}.'
    elif lower is not None:
        yield f'At least {_code(lower)}.'
    if flag['required']:
        yield 'Required.'
    elif flag['boolean']:
        yield f'Default: {_code(str(flag["default"]).lower())}.'
    elif flag['default'] not in (None, ''):
        yield f'Default: {_code(flag["default"])}.'


def _code(value: object) -> str:
    return f'``{value}``'


class CommandDirective(SphinxDirective):
    """`.. command:: MODULE`"""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = self.arguments[0]
        lines = list(to_rst(module, describe(module)))
        self.env.note_reread()  # its flags may come from any module
        container = nodes.Element()
        container.document = self.state.document
        self.state.nested_parse(StringList(lines, source=f'{module} --help'), self.content_offset, container)
        return container.children


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive('command', CommandDirective)
    return {'parallel_read_safe': True}
