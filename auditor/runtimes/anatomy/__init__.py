"""What every runtime is: the value that it is, an opened model, and the facts of a file."""
