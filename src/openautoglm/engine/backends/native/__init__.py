"""The native backend: Hugging Face folders decoded by our own operators, without torch."""
