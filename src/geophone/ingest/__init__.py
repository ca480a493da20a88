"""What others left behind becomes a run: checkpoints, revisions of a model, and tables of series."""
