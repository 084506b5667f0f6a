"""Recipes: absl flag files, named on the command line as --flagfile=trainer/recipes/NAME.flags."""

import os

_PREFIXES = ('--flagfile=', '-flagfile=')


def resolve(arguments: list[str]) -> list[str]:
    """Lets --flagfile=trainer/recipes/NAME.flags name a packaged recipe where no such file exists.

    In a checkout the path is simply there. Installed from a wheel, the recipes lie in this package: a flag file that
    does not exist as given is looked up here by its base name. What is found nowhere stays as it was, and is then
    refused under the name that the user gave.

    Args:
        arguments: command-line arguments.

    Returns:
        The same arguments, --flagfile values replaced where a packaged recipe is meant.
    """
    return [_resolve_one(argument) for argument in arguments]


def _resolve_one(argument: str) -> str:
    prefix = next((p for p in _PREFIXES if argument.startswith(p)), None)
    if prefix is None:
        return argument
    path = argument[len(prefix) :]
    packaged = os.path.join(os.path.dirname(__file__), os.path.basename(path))
    if os.path.exists(path) or not os.path.isfile(packaged):
        return argument
    return prefix + packaged
