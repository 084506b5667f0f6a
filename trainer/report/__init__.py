"""What a run looks like: `curves` draws loss and accuracy of its epochs, `augmentation_page` the pairs it sees.

`dry_run` measures what it will need.
"""

__all__ = ['augmentation_page', 'curves', 'dry_run']
