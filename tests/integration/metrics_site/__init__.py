"""A project whose worker processes are scraped in the tests of metrics."""
