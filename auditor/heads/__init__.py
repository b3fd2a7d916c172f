"""What models end in: one file a head, from recognising its outputs to decoding them. A new head is a new file here."""
