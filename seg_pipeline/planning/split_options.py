"""The options that decide which split and which shard a pair goes to, and the assignment that follows from them."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from seg_pipeline import errors, storage
from seg_pipeline.imaging import perceptual_hash, rejects
from seg_pipeline.planning import assignment, grouping, splits
from seg_pipeline.planning.assignment import Assignments
from seg_pipeline.planning.pairing import SourcePair

DEFAULT_FRACTIONS = 'train:0.8,validation:0.2'
DEFAULT_SEED = 0


@dataclasses.dataclass(frozen=True)
class Contents:
    """What is known of the contents of pairs before they are split, by key; pairs that will be rejected have no entry.

    Attributes:
        hashes: the perceptual hash of each image, if those were asked for.
        classes: the ids in each mask as stored, without the ignored id, if those were asked for.
    """

    hashes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    classes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SplitOptions:
    """How pairs come into splits and shards.

    Attributes:
        fractions: the fraction of each split, adding up to 1; not used with lists.
        lists: official lists of names for each split, instead of fractions.
        seed: decides, with the keys, splits and order.
        group_regex: its first group, found in an image's path, names what stays in one split.
        near_duplicates: `group` keeps images in one split that are nearly the same.
        max_distance: how many of 64 bits of their perceptual hashes may differ then.
        stratify: `rare` puts every class that at least two groups have into each split.
        num_shards: the number of shards of each split, as `--num_shards` says it; '' for one for each 100 pairs.
    """

    fractions: Mapping[str, Fraction] = dataclasses.field(
        default_factory=lambda: splits.parse_fractions(DEFAULT_FRACTIONS)
    )
    lists: Mapping[str, Sequence[str]] | None = None
    seed: int = DEFAULT_SEED
    group_regex: str | None = None
    near_duplicates: str = 'off'
    max_distance: int = perceptual_hash.DEFAULT_MAX_DISTANCE
    stratify: str = 'none'
    num_shards: str = ''

    def __post_init__(self) -> None:
        if self.lists is not None and (self.group_regex or self.stratify != 'none'):
            raise errors.UserError('--split_files decides alone: leave out --group_regex and --stratify')

    @property
    def names(self) -> list[str]:
        """The names of the splits."""
        return list(self.fractions if self.lists is None else self.lists)

    @property
    def needs_hashes(self) -> bool:
        """Whether the images must be hashed before anything is split."""
        return self.near_duplicates != 'off'

    @property
    def needs_classes(self) -> bool:
        """Whether the masks must be read before anything is split."""
        return self.stratify != 'none'

    def to_json(self) -> dict[str, Any]:
        """What the manifest says of it. Of lists, their lengths and digests: the names are in `records.jsonl`."""
        decided: dict[str, Any] = (
            {'splits': {name: str(fraction) for name, fraction in self.fractions.items()}}
            if self.lists is None
            else {'split_files': {name: _describe_list(names) for name, names in self.lists.items()}}
        )
        names = ('seed', 'group_regex', 'near_duplicates', 'max_distance', 'stratify', 'num_shards')
        return {**decided, **{name: getattr(self, name) for name in names}}

    def members(self, pairs: Sequence[SourcePair]) -> Sequence[SourcePair]:
        """The pairs that are in some split."""
        if self.lists is None:
            return pairs
        listed = splits.from_lists(pairs, self.lists)
        return [pair for pair in pairs if pair.key in listed]

    def left_out(self, pairs: Sequence[SourcePair]) -> tuple[rejects.Reject, ...]:
        """A reject for each pair that is in no split, since no list names it."""
        if self.lists is None:
            return ()
        members = {pair.key for pair in self.members(pairs)}
        message = f'in no list of --split_files ({", ".join(self.names)})'
        return tuple(
            rejects.Reject(pair.key, rejects.IN_NO_LIST, f'image {pair.image}: {message}', pair.image, pair.mask)
            for pair in pairs
            if pair.key not in members
        )

    def assign(
        self, images: str, pairs: Sequence[SourcePair], contents: Contents, class_names: Sequence[str]
    ) -> Assignments:
        """Decides the split of each pair.

        Args:
            images: root of the images; files of equal size are read, to find identical ones.
            pairs: the pairs.
            contents: what was found out about them, as far as it is needed.
            class_names: the names of the classes.

        Raises:
            UserError: if an expression or a list does not fit the pairs.
        """
        names = grouping.by_expression(pairs, self.group_regex) if self.group_regex else {}
        links = grouping.identical_files(images, pairs)  # always: a copy in two splits is a leak whatever was asked for
        if self.needs_hashes:
            links += grouping.near_duplicates(contents.hashes, self.max_distance)
        formed = grouping.form(names, links)
        if self.lists is not None:
            return assignment.by_lists(pairs, self.lists, formed)
        # None, and not an empty mapping: without the option no class is missing anywhere.
        classes = contents.classes if self.needs_classes else None
        keys = [pair.key for pair in pairs]
        return assignment.by_fractions(
            keys, self.fractions, self.seed, formed, classes=classes, class_names=class_names
        )


def _describe_list(names: Sequence[str]) -> dict[str, Any]:
    text = ''.join(f'{name}\n' for name in names)
    return {'num_names': len(names), 'sha256': hashlib.sha256(text.encode()).hexdigest()}


def read_lists(text: str) -> dict[str, list[str]]:
    """Reads the official lists that `--split_files=train:FILE,validation:FILE` names; a file has one name a line.

    Raises:
        UserError: if the text is not of that form or a file cannot be read.
    """
    lists = {}
    for split, path in splits.parse(text, 'split_files').items():
        try:
            # Without a byte order mark, which would be part of the first name.
            lines = storage.read_bytes(path).decode('utf-8-sig').splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise errors.UserError(f'--split_files: {path}: cannot be read: {error}') from error
        lists[split] = [line.strip() for line in lines if line.strip()]
    return lists
