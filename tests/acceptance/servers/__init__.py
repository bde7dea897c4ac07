"""Starting the real servers on the project in ``served``, and asking who said goodbye."""
