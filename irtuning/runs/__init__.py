"""Where runs live and who starts them: a run is a folder that one process writes and everybody else reads."""
