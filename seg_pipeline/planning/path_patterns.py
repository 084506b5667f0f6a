"""Patterns of paths: which files of a folder are its images, and which its masks, where both are in one folder.

The rule is that of Python's `glob` with `recursive=True`, on paths relative to the folder, with `/` between the parts:

    *       any characters within one part of a path, also none
    ?       one character within a part
    [abc]   one of these characters; [!abc] one other
    **      as a complete part: any number of folders, also none

So `*.jpg` fits files of the folder itself, `**/*.jpg` those of all folders below it too. Upper and lower case differ.
"""

import fnmatch
import re
import unicodedata
from collections.abc import Iterable, Sequence

from seg_pipeline import errors
from seg_pipeline.plurals import counted

_ANY_FOLDERS = '**'


class PathPattern:
    """One pattern.

    Args:
        pattern: as above.
    """

    def __init__(self, pattern: str) -> None:
        parts = _normal(pattern).split('/')
        if parts[-1] == _ANY_FOLDERS:
            parts.append('*')  # at the end it fits the files in these folders
        # None stands for any folders.
        self._parts = [None if part == _ANY_FOLDERS else re.compile(fnmatch.translate(part)) for part in parts]

    def fits(self, path: str) -> bool:
        """Whether it fits a path, from its first part to its last.

        All ways to fit are followed at once, as sets of places in the pattern: trying one after the other takes
        exponential time where `**` appears several times.
        """
        places = self._with_skips({0})
        for part in _normal(path).split('/'):
            places = self._with_skips({next_place for place in places for next_place in self._after(place, part)})
        return len(self._parts) in places

    def _after(self, place: int, part: str) -> Sequence[int]:
        if place == len(self._parts):
            return ()
        expression = self._parts[place]
        if expression is None:
            return (place,)
        return (place + 1,) if expression.match(part) else ()

    def _with_skips(self, places: set[int]) -> set[int]:
        """The same places, and those behind any folders that may be none."""
        result = set(places)
        for place, expression in enumerate(self._parts):  # in order, so that one skip may follow another
            if expression is None and place in result:
                result.add(place + 1)
        return result


def _normal(text: str) -> str:
    # One file system writes é as one code point, the next as two.
    return text if text.isascii() else unicodedata.normalize('NFC', text)


def select(paths: Sequence[str], pattern: str | None, flag: str, root: str) -> list[str]:
    """The paths that a pattern fits; all if there is none.

    Args:
        paths: relative to the root.
        pattern: see above.
        flag: where it comes from, for messages.
        root: the folder, for messages.

    Raises:
        UserError: if it fits no path.
    """
    if pattern is None:
        return list(paths)
    found = _fitting(paths, pattern)
    if not found:
        raise fits_nothing(flag, pattern, root, len(paths), paths[0] if paths else None)
    return found


def fits_nothing(flag: str, pattern: str, root: str, number: int, example: str | None) -> errors.UserError:
    """What to raise where a pattern fits none of a number of files."""
    holds = counted(number, 'file') + (f' such as {example}' if example else '')
    return errors.UserError(
        f'{flag}={pattern}: fits no file in {root}, which holds {holds}; * fits within one folder, **/ any folders'
    )


def _fitting(paths: Iterable[str], pattern: str) -> list[str]:
    compiled = PathPattern(pattern)
    return [path for path in paths if compiled.fits(path)]
