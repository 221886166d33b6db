"""Looking into a memory: recording it, asking it, changing its slots."""
