"""A model's weights: read from its files, laid out for the operators, lent to other processes."""
