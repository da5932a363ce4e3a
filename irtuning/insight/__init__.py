"""Numbers about a run, computed from its events. Knows no page, no figure and no model."""
