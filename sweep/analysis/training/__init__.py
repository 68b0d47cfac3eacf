"""What happens as training goes on: phases, the best learning rate, and choosing a policy by a measure."""
