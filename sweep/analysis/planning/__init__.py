"""How many configurations and seeds a claim needs, before anything runs."""
