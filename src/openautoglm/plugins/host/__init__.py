"""A plugin at work: worker processes, their supervision and what confines them."""
