"""Keyphrases of every document: candidates from its neighbours, its text and the archive, ranked and explained."""
