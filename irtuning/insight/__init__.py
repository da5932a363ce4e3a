"""Numbers about runs, computed from their events; ablation asks a classifier. Knows no page, no figure and no run folder."""
