"""Pure functions on text: cleaning, sentences, chunks. No step, graph or model is known here."""
