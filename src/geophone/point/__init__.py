"""Signals of a run to transitions and targets with controls: the one ranker."""
