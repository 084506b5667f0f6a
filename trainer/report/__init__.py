"""What a run looks like: `curves` draws loss and accuracy of its epochs, `augmentation_page` the pairs it sees."""

__all__ = ['augmentation_page', 'curves']
