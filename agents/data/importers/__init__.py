"""Importing datasets that others made: a reader for each format, and one engine that drives them."""
