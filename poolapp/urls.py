"""``path("pools/", include("poolapp.urls"))``."""

from __future__ import annotations

from django.urls import path

from poolapp import views

app_name = "poolapp"

urlpatterns = [
    path("health/live", views.live, name="live"),
    path("health/ready", views.ready, name="ready"),
    path("health/fleet", views.whole, name="fleet"),
]
