"""The pool itself: asyncio only. Imports no Django, no driver, no web framework."""
