"""A project whose consumers relay an upstream; Daphne serves it in the tests of relays."""
