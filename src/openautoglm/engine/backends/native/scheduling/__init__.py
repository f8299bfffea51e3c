"""Which rows a step computes and what becomes of each: slots, chunks, guesses, samples, ends."""
