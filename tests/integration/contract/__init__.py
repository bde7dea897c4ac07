"""What every store's manager has to do, or has to refuse."""
