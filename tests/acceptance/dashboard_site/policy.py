"""The strictest Content-Security-Policy that Django's admin works under."""

from inspect import iscoroutinefunction

from django.utils.decorators import sync_and_async_middleware

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@sync_and_async_middleware
def strict(get_response):
    if iscoroutinefunction(get_response):

        async def protect_async(request):
            response = await get_response(request)
            response.headers["Content-Security-Policy"] = POLICY
            return response

        return protect_async

    def protect(request):
        response = get_response(request)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    return protect
