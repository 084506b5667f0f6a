"""From pairs to a published data set: what a worker does with a pair and a shard, and what is done once at the end."""
