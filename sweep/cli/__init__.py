"""The command `sweep`."""

from sweep.cli.app import main

__all__ = ["main"]
