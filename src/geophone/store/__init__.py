"""Run and study folders on disk."""
