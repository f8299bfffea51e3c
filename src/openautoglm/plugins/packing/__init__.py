"""Projects into wheels, the same bytes from the same project."""
