"""The online service: one deployment a file, and the app that binds them."""
