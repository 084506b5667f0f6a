"""Engines beside Beam's own runner, on this machine: Prism, Flink and Spark, as clusters of several hosts.

    python -m tools.engines flink

installs Flink and Beam's job server for it from Maven Central, starts a cluster of two hosts, prints the flags that
`beam_jobs.prepare_dataset` needs to run on it, and stops it at Ctrl-C. Hosts are network namespaces: each has a
loopback device of its own, and can be cut off. `make test-engines` runs the job on all of them.
"""
