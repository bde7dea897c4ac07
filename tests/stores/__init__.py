"""An app of models that live in the stores: no tables."""
