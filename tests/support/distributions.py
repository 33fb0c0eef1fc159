"""Shared by the tests of distributions."""

N = 200_000
