"""Tests. They mirror the code: tests/<folder>/test_<file>.py."""
