"""Health for those who ask by HTTP: load balancers, orchestrators, people."""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from poolapp.monitoring import fleet
from poolapp.monitoring.fleet import FleetPicture
from poolapp.monitoring.health import Health, joined, monitor, overall
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


@require_safe
@never_cache
async def whole(request: HttpRequest) -> HttpResponse:
    """The worst of all worker processes: for a monitor, not for what restarts or routes.

    200, or 503 when a worker is unhealthy. Each reason is told once, of how many workers.
    """
    seen = await fleet.read()
    verdicts = [joined(found) for found in _by_alias(seen).values()]
    workers = len(seen.processes)
    status = overall(verdicts)
    return _answer(
        request,
        503 if status == "unhealthy" else 200,
        status,
        verdicts,
        {"workers": workers, "notice": seen.notice and NOTICE},
    )


NOTICE = "Only the process that answers is known."
"""For everybody: why is told in the admin and by ``manage.py poolstatus --fleet``."""


def _by_alias(seen: FleetPicture) -> dict[str, list[Health]]:
    found: dict[str, list[Health]] = {}
    for process in seen.processes:
        for alias in process.aliases:
            found.setdefault(alias.alias, []).append(alias.health)
    return dict(sorted(found.items()))


def _answer(
    request: HttpRequest,
    code: int,
    status: Status,
    verdicts: list[Health],
    beside: Mapping[str, object] | None = None,
) -> HttpResponse:
    wanted = request.GET.get("format") or _preferred(request)
    if wanted == "json":
        pools = [each.as_dict() for each in verdicts]
        shown = {"status": status, **(beside or {}), "pools": pools}
        return JsonResponse(shown, status=code)
    if wanted == "text":
        lines: list[str] = ["ok" if status == "healthy" else status]
        lines += [f"{each.alias}: {' '.join((each.status, *each.reasons))}" for each in verdicts]
        lines += [f"{name}: {value}" for name, value in (beside or {}).items() if value]
        text = "\n".join(lines) + "\n"
        return HttpResponse(text, status=code, content_type="text/plain; charset=utf-8")
    return HttpResponseBadRequest("format must be text or json\n", content_type="text/plain")


def _preferred(request: HttpRequest) -> str:
    """By the ``Accept`` header; text when both are as welcome."""
    best = request.get_preferred_type(["text/plain", "application/json"])
    return "json" if best == "application/json" else "text"
