"""The sentiment classifier in three steps: base, pseudo-labels of pure clusters, final with a metric loss."""
