"""LoRA adapters: read from PEFT folders, fitted to a model, held beside it."""
