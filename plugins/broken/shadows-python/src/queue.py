"""Not the queue you are looking for."""
