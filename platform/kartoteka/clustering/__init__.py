"""Vectors to clusters: PCA and K-Means from sums that parts give, how pure a cluster is, and what describes it."""
