"""What every task is made of: the value that a task is, and the value that a metric is."""
