"""What is told of rows that could not be brought in step."""

from django.dispatch import Signal

step_failed = Signal()
"""Documents of ``sender``, the label of a model, could not be written, and will be tried again.

``manager`` is the name of the document manager, ``failures`` a mapping of primary keys to what was
said, ``attempts`` how often the worst of them was tried. Receivers run on the process's pool loop:
be quick.
"""
