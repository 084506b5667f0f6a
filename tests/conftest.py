"""What all tests share: hypothesis draws the same examples in every run, however slow the machine."""

import hypothesis

hypothesis.settings.register_profile('seeded', deadline=None, derandomize=True)
hypothesis.settings.load_profile('seeded')
