"""The outside world: files, processes and servers. Knows nothing of rows, settings or HTTP doors."""
