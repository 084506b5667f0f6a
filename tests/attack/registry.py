"""All targets, by name, and one that is broken on purpose."""

from tests.attack import broken, datasets, pictures, texts
from tests.attack.target import Target

TARGETS: dict[str, type[Target]] = {
    kind.name: kind
    for kind in (
        pictures.Images,
        pictures.Masks,
        pictures.MatFiles,
        texts.LabelTables,
        texts.Remappings,
        texts.Flags,
        texts.BeamFlags,
        texts.RunConfigs,
        datasets.Manifests,
        datasets.TfRecords,
        datasets.ArrayRecords,
    )
}

# For the tests of the attack itself.
ALL = {**TARGETS, broken.Broken.name: broken.Broken}
