"""One prompt or ten million: a model behind a front door that knows no model's details."""
