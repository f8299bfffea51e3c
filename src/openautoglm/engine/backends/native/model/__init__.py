"""The decoder itself: one step over rows of many sequences, played by the core."""
