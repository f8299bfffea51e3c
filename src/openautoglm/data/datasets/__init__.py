"""Datasets that Hugging Face's `datasets` saved on this machine, read without it.

`hf:///data/reviews?split=train`: Arrow files, through pyarrow. Nothing is downloaded.
"""

from openautoglm.data.datasets.saved import open_hf

__all__ = ["open_hf"]
