"""Equilibrium propagation on top of the simulator: phases, contrast, read-out, optimisers, training."""
