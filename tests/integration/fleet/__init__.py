"""A Django project whose processes are a fleet, and what the tests need to start them.

The processes run with this folder's parent in their path.
"""
