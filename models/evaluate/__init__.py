"""Evaluation: one protocol for every network, tables as CSV, plots as PNG."""
