"""The texts: reading and splitting revisions, what changed in one, and a pair as a model's input. Knows no model."""
