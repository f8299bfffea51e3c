"""Worker processes that share one copy of the weights, and the rows they are given."""
