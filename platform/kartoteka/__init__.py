"""Kartoteka: re-index a whole library archive on Ray, and serve it."""

__version__ = "0.1.0"
