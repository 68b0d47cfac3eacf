"""Trials above and below a threshold on a measure, and the outcome all along it."""
