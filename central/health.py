"""The door for whoever watches the centre."""

from __future__ import annotations

import os

from django.db import connection
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from central.disk import centre_disk
from federation.errors import CapacityError


class StorageUnwritable(CapacityError):
    """The centre cannot write under `root`."""

    code = "storage_unwritable"


class HealthView(APIView):
    """GET /healthz."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        """Answer 200 when the database answers and the disk can be written."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        root = centre_disk().root
        if not os.access(root, os.W_OK):
            raise StorageUnwritable(root=str(root))
        return Response({"database": "ok", "storage": "ok"})
