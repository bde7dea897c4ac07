"""A small Django project, as a user would write it, that every server is started on.

It runs in processes of its own, with this folder's parent as their working folder.
"""
