"""Reads docstrings as this project writes them: Google sections, and plain text in which only `code` is markup.

Sphinx takes docstrings for reStructuredText, where `*channels`, `a|b`, `val_` and `num_workers`th mean something else
or nothing. The text is translated before napoleon looks for its sections.
"""

import re
from typing import Any

from sphinx.application import Sphinx

_BEFORE_NAPOLEON = 400  # which has Sphinx's default priority, 500
# `code`, or a flag with its value, which has no punctuation at its end.
_CODE = re.compile(r'(?<!`)`([^`]+)`(?!`)|(?<![\w`-])(--[a-z]\w*(?:=[^\s`;)\]]*[^\s`,;:.)\]])?)')
_SPECIAL = re.compile(r'([\\*|]|(?<=\w)_(?!\w))')
_SEVERAL_NAMES = re.compile(r'( +)(\w+(?:, \w+)+): (.*)')
_STATEMENT = re.compile(r'(?:import|from|python -m) ')


def translate(text: str) -> str:
    """Plain text with `code` in single backticks, as reStructuredText; flags are code too."""
    result = []
    end = 0
    for found in _CODE.finditer(text):
        joint = r'\ ' if text[found.end() :][:1].isalnum() else ''  # without it, `code`s would not end the literal
        result += [_SPECIAL.sub(r'\\\1', text[end : found.start()]), f'``{(found[1] or found[2]).strip()}``{joint}']
        end = found.end()
    return ''.join(result) + _SPECIAL.sub(r'\\\1', text[end:])


def _is_listing(block: list[str]) -> bool:
    """Whether a block of a module's docstring is code: it is indented, or begins with a statement or a command."""
    return block[0].startswith(' ') or _STATEMENT.match(block[0]) is not None


def translate_module(lines: list[str]) -> list[str]:
    """A module's docstring has no sections; its listings are those blocks that look like one."""
    result: list[str] = []
    in_listing = False
    for text in re.split(r'\n\s*\n', '\n'.join(lines).strip()):
        block = text.splitlines()
        # A listing may have empty lines: the block below is a part of it if it is code too, or continues a statement.
        if _is_listing(block) or (in_listing and _STATEMENT.match(block[0]) is None and block[0].endswith(':')):
            result += [] if in_listing else ['.. code-block:: none', '']
            result += [f'   {line}' for line in block]
            in_listing = True
        else:
            result += translate(text).splitlines()
            in_listing = False
        result.append('')
    return result


def split_names(lines: list[str]) -> list[str]:
    """Describes `low, high: the range.` twice, where Sphinx would take `low` for the type of `high`."""
    result: list[str] = []
    while lines:
        entry = _SEVERAL_NAMES.match(lines[0])
        indent = len(entry[1]) if entry else 0
        end = next((i for i, line in enumerate(lines) if i and len(line) - len(line.lstrip()) <= indent), len(lines))
        if entry is None:
            result.append(lines[0])
            lines = lines[1:]
            continue
        for name in entry[2].split(', '):
            result += [f'{entry[1]}{name}: {entry[3]}', *lines[1:end]]
        lines = lines[end:]
    return result


def translate_sections(lines: list[str]) -> list[str]:
    """The docstring of a class or function; what is under `Example:` is code."""
    result: list[str] = []
    prose: list[str] = []
    example_indent: int | None = None
    for line in split_names(lines):
        indent = len(line) - len(line.lstrip())
        if example_indent is not None and (not line.strip() or indent > example_indent):
            result.append(f'    {line}')
            continue
        if example_indent is not None:
            result.append('')
        example_indent = None
        if line.strip() == 'Example:':
            result += [
                *translate('\n'.join(prose)).splitlines(),
                line,
                '',
                f'{" " * (indent + 4)}.. code-block:: python',
                '',
            ]
            prose, example_indent = [], indent
        else:
            prose.append(line)
    return result + translate('\n'.join(prose)).splitlines()


def _process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    del app, name, obj, options
    lines[:] = [*(translate_module(lines) if what == 'module' else translate_sections(lines)), '']


def _skip(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Leaves out the fields of named tuples, which Python itself documents as "Alias for field number N"."""
    del app, what, name, skip, options
    return True if (getattr(obj, '__doc__', None) or '').startswith('Alias for field number') else None


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect('autodoc-process-docstring', _process, priority=_BEFORE_NAPOLEON)
    app.connect('autodoc-skip-member', _skip)
    return {'parallel_read_safe': True}
