"""The policies by name."""

from seg_pipeline.input.augmentation.article import ARTICLE
from seg_pipeline.input.augmentation.policy import Policy
from seg_pipeline.input.augmentation.random_changes import RandomChanges
from seg_pipeline.input.strengths import OF_POLICY, Strengths

NONE: Policy = ()

POLICIES: dict[str, Policy] = {
    **{name: (RandomChanges(strengths),) for name, strengths in OF_POLICY.items() if strengths},
    'none': NONE,
    'article': ARTICLE,
}


def find(name: str, strengths: Strengths | None) -> Policy:
    """Returns the policy of some strengths, where there are any, and else that of the name."""
    return (RandomChanges(strengths),) if strengths else POLICIES[name]
