"""Scenario packs and what they do to an image."""
