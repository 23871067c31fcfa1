"""Doors to releases: TUF metadata and targets for everybody, blobs for nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import AllowAny
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from central.disk import centre_disk
from central.http import IsNode, NodeAuthentication
from central.releases.blob_store import blob_store
from central.releases.blobs import blob_response

_METADATA_NAME = re.compile(r"([0-9]{1,9}\.)?(root|targets|snapshot|timestamp)\.json")
_TARGET_PATH = re.compile(r"(releases|verdicts|programs)/[0-9a-f]{64}\.[0-9a-f]{64}\.json")


class AnyAnswer(BaseContentNegotiation):
    """Bytes are bytes, whatever the Accept header asks for."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return no parser."""
        return None

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the first renderer, which only errors use."""
        first = next(iter(renderers))
        return first, first.media_type


class TufView(APIView):
    """GET /tuf/metadata/<name> and /tuf/targets/<path>: signed, so that anybody may carry them."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = AnyAnswer

    def get(self, request: Request, folder: str, name: str) -> HttpResponse:
        """Answer one file of the repository."""
        allowed = _METADATA_NAME if folder == "metadata" else _TARGET_PATH
        if not allowed.fullmatch(name):
            raise Http404
        return _file_answer(centre_disk().tuf / folder / name)


def _file_answer(path: Path) -> HttpResponse:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise Http404 from error
    answer = HttpResponse(content, content_type="application/json")
    # The timestamp is the one name whose content changes.
    answer["Cache-Control"] = "no-cache" if path.name == "timestamp.json" else "public, max-age=86400, immutable"
    return answer


class BlobView(APIView):
    """GET and HEAD /blobs/<sha256>."""

    authentication_classes = (NodeAuthentication,)
    permission_classes = (IsNode,)
    content_negotiation_class = AnyAnswer

    def get(self, request: Request, sha256: str) -> HttpResponseBase:
        """Answer a blob or a range of it."""
        http_request: HttpRequest = request._request  # noqa: SLF001 - the blob door is plain Django
        return blob_response(http_request, blob_store(centre_disk()), sha256, accel=settings.BLOBS_ACCEL)

    head = get
