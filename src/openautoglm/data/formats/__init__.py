"""Files of rows: what each format reads and writes, and what opens them by URL.

`Format` is what a new one must keep; `FileSource` and `FileSink` work with any of them, over any
transport.
"""

from openautoglm.data.formats.openers import (
    open_csv,
    open_csv_sink,
    open_jsonl,
    open_jsonl_sink,
    open_parquet,
    open_parquet_sink,
)

__all__ = [
    "open_csv",
    "open_csv_sink",
    "open_jsonl",
    "open_jsonl_sink",
    "open_parquet",
    "open_parquet_sink",
]
