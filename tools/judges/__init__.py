"""Classifiers that judge what models draw, and distances in their features."""
