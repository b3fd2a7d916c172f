"""From documents to what will be measured: models, data sets and scenarios, opened once, all problems at once."""
