"""Whether the market's data is ready to decide on: one module for each question."""
