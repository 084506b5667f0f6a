"""The table of classes, and remappings that turn the classes of the masks into those of a data set.

Modules:
    label_map: ids, names, colours and the ignored id of the classes.
    remapping: merges or ignores classes, by name.
    parsing: the small text files that both are read from.
"""

__all__ = ['label_map', 'parsing', 'remapping']
