"""Which language the page and the command line speak: Tajik unless the person chose another.

The browser's own preference is not asked, because a school's PC often has a Russian or English browser that nobody
chose; the switch at the foot of each page is one press away and is remembered in a cookie.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import translation

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class LanguageMiddleware:
    """Each answer is in the language that the cookie names, else in Tajik."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        """Wrap `get_response`, which may be a coroutine function."""
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        """Choose the language, then answer."""
        if self._is_async:
            return self._answer(request)
        language_choose(request)
        return self.get_response(request)

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        language_choose(request)
        answer = self.get_response(request)
        return await answer if isinstance(answer, Awaitable) else answer


def language_choose(request: HttpRequest) -> None:
    """Make the person's language the active one for this request."""
    chosen = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, "")
    language = chosen if chosen in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
    translation.activate(language)
    # As Django's own LocaleMiddleware does.
    setattr(request, "LANGUAGE_CODE", language)  # noqa: B010 - the stubs know no such attribute


def operator_language(environ: Mapping[str, str]) -> str:
    """Return the language of the command line: the locale's where we speak it, else English."""
    locale = environ.get("LC_ALL") or environ.get("LC_MESSAGES") or environ.get("LANG") or ""
    language = locale[:2].lower()
    return language if language in dict(settings.LANGUAGES) else "en"
