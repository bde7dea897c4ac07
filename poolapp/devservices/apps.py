from django.apps import AppConfig


class DevServicesConfig(AppConfig):
    """An app of its own, so that a production project never imports it."""

    name = "poolapp.devservices"
    label = "devservices"
    verbose_name = "Development services"
