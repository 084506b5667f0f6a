"""Command and library: draws pictures of clothed figures with exact masks, for trying everything without data."""
