"""Not the msgspec you are looking for."""
