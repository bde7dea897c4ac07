"""Health for those who ask by HTTP: load balancers, orchestrators, people."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from poolapp.monitoring.health import Health, monitor, overall
from poolapp.monitoring.probe import Status


@require_safe
@never_cache
async def live(request: HttpRequest) -> HttpResponse:
    """The process runs and its loop turns. Touches no pool: restarting helps no server's outage."""
    return _answer(request, 200, "healthy", [])


@require_safe
@never_cache
async def ready(request: HttpRequest) -> HttpResponse:
    """200 when every alias can serve, if degraded; 503 when one can't.

    Borrows no connection, so it answers while all are in use. Names no server and shows no
    error's text: it is meant for the public, ``manage.py poolstatus --probe`` for operators.
    """
    verdicts = await monitor.check_all()
    status = overall(verdicts)
    return _answer(request, 503 if status == "unhealthy" else 200, status, verdicts)


def _answer(
    request: HttpRequest, code: int, status: Status, verdicts: list[Health]
) -> HttpResponse:
    wanted = request.GET.get("format") or _preferred(request)
    if wanted == "json":
        shown = {"status": status, "pools": [each.as_dict() for each in verdicts]}
        return JsonResponse(shown, status=code)
    if wanted == "text":
        lines: list[str] = ["ok" if status == "healthy" else status]
        lines += [f"{each.alias}: {' '.join((each.status, *each.reasons))}" for each in verdicts]
        text = "\n".join(lines) + "\n"
        return HttpResponse(text, status=code, content_type="text/plain; charset=utf-8")
    return HttpResponseBadRequest("format must be text or json\n", content_type="text/plain")


def _preferred(request: HttpRequest) -> str:
    """By the ``Accept`` header; text when both are as welcome."""
    best = request.get_preferred_type(["text/plain", "application/json"])
    return "json" if best == "application/json" else "text"
