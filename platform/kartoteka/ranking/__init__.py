"""The trained ranker (SearchKeys): an encoder of documents and phrases learned from the archive's own annotations."""
