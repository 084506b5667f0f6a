"""Drawn photos of clothed figures with exact masks; `seg_pipeline.synthetic` writes them as a set of pairs."""
