"""What a run looks like: `curves` draws loss and accuracy of its epochs."""

__all__ = ['curves']
