"""The table of classes, and the tables that turn the classes of masks into others.

`label_map` holds ids, names, colours and the ignored id; `remapping` joins classes by name.
"""
