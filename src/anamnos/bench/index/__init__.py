"""The vector index beside others: the same vectors, queries and machine, recall against time, memory and disk."""
