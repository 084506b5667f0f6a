"""A target that fails in every way in which one can, to see that each is noticed and pinned on its case."""

import os
import random
import signal
import time

from tests.attack.target import ACCEPTED, Target, WrongError

RAISES, IS_WRONG, DIES, HANGS, GROWS = range(5)
_HELD = []


class Broken(Target):
    """A case is a number below 10, of which five fail, each in its own way."""

    name = 'broken'

    def case(self, random_: random.Random) -> bytes:
        return bytes([random_.randrange(10)])

    def check(self, data: bytes) -> str:
        if data[0] == RAISES:
            raise KeyError('a')
        if data[0] == IS_WRONG:
            raise WrongError('accepted')
        if data[0] == DIES:
            os.kill(os.getpid(), signal.SIGSEGV)
        if data[0] == HANGS:
            time.sleep(1000)
        if data[0] == GROWS:
            _HELD.append(b'a' * 300_000_000)
        return ACCEPTED
