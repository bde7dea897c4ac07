"""None: the tables are made where a test needs them."""
