"""Differential proof: any QuerySet through Django's own driver and natively, side by side."""
