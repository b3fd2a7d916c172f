"""Images and truth from disk, whatever their format."""
