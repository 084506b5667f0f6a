"""What a target is: good inputs, a way to make hostile ones of them, and what may come of them."""

import abc
import pathlib
import random

ACCEPTED = 'accepted'


class WrongError(Exception):
    """A hostile input was accepted as what it is not."""


class Target(abc.ABC):
    """One part of the program that reads what others wrote.

    Attributes:
        name: for the command line and the table.
        directory: a folder of the target alone, for files that are read by path.
    """

    name: str

    def __init__(self, directory: pathlib.Path) -> None:
        """Prepares the good inputs; the same in every process."""
        self.directory = directory

    @abc.abstractmethod
    def case(self, random_: random.Random) -> bytes:
        """Makes a hostile input, which is a function of the state of `random_` alone."""

    @abc.abstractmethod
    def check(self, data: bytes) -> str:
        """Gives an input to the program.

        Returns:
            `ACCEPTED`, or why it was refused.

        Raises:
            WrongError: if it was accepted and should not have been, or as something else.
            Exception: any but those that are documented, which is a fault of the program.
        """


def random_of(name: str, seed: int, index: int) -> random.Random:
    """What decides one case of a target."""
    return random.Random(f'{name}/{seed}/{index}')
