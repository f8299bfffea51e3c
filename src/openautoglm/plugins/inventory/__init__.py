"""What is installed: the store, what each plugin's state is, and what does not fit together."""
