"""What the command line says: progress on stderr while a stage runs, results in words, as a table or as JSON."""
