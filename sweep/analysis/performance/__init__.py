"""How good kinds of runs are over environments, and under disturbances."""
