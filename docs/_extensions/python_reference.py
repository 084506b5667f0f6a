"""Writes a page for each public package into reference/python, before Sphinx reads the sources.

A page has the package's docstring, its public names and all of its public modules. The pages are made anew by every
build and are not committed, so a module that moves takes its documentation with it.
"""

import importlib
import pathlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx

_DIRECTORY = 'reference/python'
# Starts a command: those define flags, which two modules of one process cannot both do, and have pages of their own.
_COMMAND = 'command_line.run('


def packages(root: str) -> Iterator[str]:
    """The names of a package and of all packages in it."""
    yield root
    path = importlib.import_module(root).__path__
    for found in pkgutil.iter_modules(path, f'{root}.'):
        if found.ispkg:
            yield from packages(found.name)


def page(name: str) -> str:
    """The page of a package, as reStructuredText."""
    package = importlib.import_module(name)
    lines = [name, '=' * len(name), '', f'.. automodule:: {name}']
    own = [member for member, value in vars(package).items() if _is_defined_in(value, package, member)]
    lines += [f'   :members: {", ".join(own)}' if own else '   :no-members:', '']
    if public := [f':py:obj:`{member} <{_home(package, member)}>`' for member in getattr(package, '__all__', ())]:
        lines += [f'Public names: {", ".join(public)}.', '']
    for module in _modules(package):
        title = module.removeprefix(f'{name}.')
        lines += [title, '-' * len(title), '', f'.. automodule:: {module}', '']
    return '\n'.join(lines)


def _is_defined_in(value: object, package: ModuleType, member: str) -> bool:
    return not member.startswith('_') and callable(value) and getattr(value, '__module__', None) == package.__name__


def _home(package: ModuleType, member: str) -> str:
    """Where a public name is described: the module that defines it."""
    value = getattr(package, member, None)
    if isinstance(value, ModuleType) or value is None:
        return f'{package.__name__}.{member}'
    return f'{getattr(value, "__module__", package.__name__)}.{member}'


def _modules(package: ModuleType) -> Iterator[str]:
    for found in pkgutil.iter_modules(package.__path__, f'{package.__name__}.'):
        if found.ispkg or found.name.rpartition('.')[2].startswith('_'):
            continue
        source = pathlib.Path(package.__path__[0], found.name.rpartition('.')[2] + '.py')
        if _COMMAND not in source.read_text(encoding='utf-8'):
            yield found.name


def write_pages(app: Sphinx) -> None:
    """Writes every page that has changed, and removes those of packages that are not there any more."""
    directory = pathlib.Path(app.srcdir, _DIRECTORY)
    directory.mkdir(parents=True, exist_ok=True)
    names = [name for root in app.config.python_reference_packages for name in packages(root)]
    for stale in directory.glob('*.rst'):
        if stale.stem not in names:
            stale.unlink()
    for name in names:
        path, text = directory / f'{name}.rst', page(name)
        if not path.exists() or path.read_text(encoding='utf-8') != text:
            path.write_text(text, encoding='utf-8')


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value('python_reference_packages', [], 'env')
    app.connect('builder-inited', write_pages)
    return {'parallel_read_safe': True}
