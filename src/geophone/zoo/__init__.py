"""What can be trained here: networks, data, tasks, and the catalogue of experiments."""
