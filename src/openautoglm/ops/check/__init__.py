"""Whether an operator keeps its contract: every kernel against the reference, gradients, graphs."""
