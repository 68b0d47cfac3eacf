"""What randomised hyperparameters do: main effects, pairs, and by way of what."""
