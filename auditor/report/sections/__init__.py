"""The sections of the report: one module and one template each. A new section is a new pair here."""
