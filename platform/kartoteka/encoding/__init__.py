"""Text to unit vectors: model resolution, tokens, token-budget batches, packed transformer, pooling, precision."""
