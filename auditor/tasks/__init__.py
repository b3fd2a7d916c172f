"""What models are for: one folder a task, from its truth and predictions to its metrics. A new task is a new folder
here."""
