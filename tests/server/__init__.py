"""Tests of the server; they are skipped where the extra `serve` is not installed."""
