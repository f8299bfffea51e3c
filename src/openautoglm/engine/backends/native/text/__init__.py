"""From text to tokens: the tokenizer and the chat template of a folder, without transformers."""
