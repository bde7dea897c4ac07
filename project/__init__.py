"""poolapp's demo: a search site over the standard library of the Python it runs on."""
