"""The demo's addresses."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from project import entry, views

urlpatterns = [
    path("", views.home, name="home"),
    path("search", views.results, name="search"),
    path("contents/", views.contents, name="contents"),
    path("entry/<str:qualified_name>/", entry.entry, name="entry"),
    path("entry/<str:qualified_name>/notes", entry.note, name="note"),
    path("pools/", include("poolapp.urls")),
    path("", include("django_prometheus.urls")),  # /metrics
    path("admin/", admin.site.urls),
]
