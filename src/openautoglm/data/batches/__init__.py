"""Files of OpenAI's batch API: requests as rows, rows as the lines that answer them.

`openai-batch:///data/requests.jsonl`, over every transport that JSON Lines have.
"""

from openautoglm.data.batches.opening import open_batch, open_batch_sink

__all__ = ["open_batch", "open_batch_sink"]
