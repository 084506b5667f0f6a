"""Attacks one target with inputs that Atheris makes: it keeps those that reach new lines of our code and of Pillow.

    python -m tests.attack.atheris_run images -max_total_time=1800

What follows the target are flags of libFuzzer. Atheris is in no lock; CONTRIBUTING.md says how to have it. It ends at
the first escape, and writes its bytes to a file `crash-...`.
"""

import pathlib
import sys
import tempfile

import atheris

with atheris.instrument_imports(include=['seg_pipeline', 'PIL', 'trainer']):
    from tests.attack import registry, supervisor
    from tests.attack.target import random_of

_SEEDS = 200


def main() -> None:
    name = sys.argv[1]
    directory = pathlib.Path(tempfile.mkdtemp(prefix='atheris-'))
    supervisor.prepare(directory)
    (directory / name).mkdir()
    target = registry.TARGETS[name](directory / name)
    corpus = directory / 'corpus'
    corpus.mkdir()
    for index in range(_SEEDS):
        (corpus / str(index)).write_bytes(target.case(random_of(name, 0, index)))

    def check(data: bytes) -> None:
        target.check(data)

    atheris.Setup([sys.argv[0], *sys.argv[2:], str(corpus)], check)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
