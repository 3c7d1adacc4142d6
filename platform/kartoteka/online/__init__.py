"""What the online service asks of an edition: plain functions, mapped files, any number of threads."""
