from django.urls import path
from served import views

urlpatterns = [
    path("async", views.from_async),
    path("run", views.by_run),
    path("to_sync", views.by_async_to_sync),
    path("ready", views.ready),
]
