"""A project with the pools' page in its admin; two servers serve it in the tests of that page."""
