"""What heads are made of: the value that every head is, and what several of them share."""
