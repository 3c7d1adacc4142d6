"""Text rules of the archive: normalising, language, words and stems, PRMU classes, terms. Functions on strings."""
