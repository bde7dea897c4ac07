"""A package as a user would feed it: see `tests.differential.others`."""
