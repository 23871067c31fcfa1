"""Serves the admin's styles and scripts straight from the installed packages, under ASGI, with no collectstatic."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFiles(WhiteNoiseMiddleware):
    """WhiteNoise, with each small file read whole: Django warns of its synchronous file iterator under ASGI."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:  # noqa: ANN401 - WhiteNoise has no types
        """Return the file's whole answer, with WhiteNoise's headers."""
        streamed = WhiteNoiseMiddleware.serve(static_file, request)
        answer = HttpResponse(b"".join(streamed.streaming_content), status=streamed.status_code)
        del answer["content-type"]
        for name, value in streamed.items():
            answer[name] = value
        streamed.close()
        return answer
