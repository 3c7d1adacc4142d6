"""BM25 over shards that score as one index."""
