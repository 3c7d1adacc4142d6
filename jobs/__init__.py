"""One file per batch job; `python -m jobs --help` lists them."""
