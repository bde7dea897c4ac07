"""A project that has the development servers installed and nothing else."""

INSTALLED_APPS = ["poolapp.devservices"]
SECRET_KEY = "for the tests only"
USE_TZ = True
