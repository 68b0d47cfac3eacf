"""A claim under every way in which it might have been estimated."""
