"""How data sets lie on disk: one file a format, from recognising it to loading it. A new format is a new file here."""
