"""What a model says of images; never sees truth."""
