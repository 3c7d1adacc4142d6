"""Nearest neighbours over shards of vectors: exact below a size, FAISS inverted lists above."""
