"""Where the tests of the store put it."""

from __future__ import annotations

import pytest

anywhere = pytest.mark.parametrize("store", ["folder", "bucket"], indirect=True)
"""For tests of what must hold in a folder and on an object store alike."""
