"""Use a school's page as a browser does: its forms, its cookies, its stream of server-sent events."""

from __future__ import annotations

import html
import re
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from federation.demo.errors import StepFailed

ANSWER_ID = re.compile(r"/answers/([0-9a-f-]{36})/stream/")
SHIPPED = re.compile(r'data-stage="shipped">[^<\d]*(\d+)')
ANSWER_SECONDS = 120.0


class SchoolPage:
    """One person's browser at one school's page.

    Every method raises StepFailed when the page does not answer as it should.
    """

    def __init__(self, address: str, *, step: str, log: Path) -> None:
        self.step = step
        self.log = log
        self._http = httpx.Client(base_url=address, follow_redirects=True, timeout=ANSWER_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def sign_in(self, username: str, password: str) -> None:
        """Sign in; the session lasts as long as this object."""
        page = self._post("/sign-in/", {"username": username, "password": password})
        if str(page.url).endswith("/sign-in/"):
            raise self._failure(f"{username} could not sign in")

    def ask(self, question: str) -> tuple[str, str]:
        """Return the answer's id and its text, read from the stream to its end."""
        conversation = self._post("/ask/", {"question": question})
        found = ANSWER_ID.search(conversation.text)
        if found is None:
            raise self._failure("the page shows no answer to wait for")
        return found[1], self._read_stream(found[1])

    def correct(self, answer_id: str, *, stars: int, correction: str) -> None:
        """Rate the answer low and correct it: fill the form in, see what would leave the school, send it."""
        opinion = {"stars": str(stars), "correction": correction, "subject": "", "grade": "0"}
        preview = self._post(f"/ratings/{answer_id}/", opinion)
        if html.escape(correction) not in preview.text and correction not in html.unescape(preview.text):
            raise self._failure("the page does not show what would leave the school")
        self._post(f"/ratings/{answer_id}/", {**opinion, "step": "send"})

    def shipped_releases(self) -> list[int]:
        """Return the release that each of one's own corrections shipped in, as the page of corrections names them."""
        return [int(found[1]) for found in SHIPPED.finditer(self._get("/corrections/").text)]

    def _read_stream(self, answer_id: str) -> str:
        pieces: list[str] = []
        event = ""
        with self._http.stream("GET", f"/answers/{answer_id}/stream/") as stream:
            for line in stream.iter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    event = value
                elif field == "data" and event == "piece":
                    pieces.append(value)
        return html.unescape("".join(pieces)).strip()

    def _get(self, path: str) -> httpx.Response:
        return self._checked(self._http.get(path))

    def _post(self, path: str, fields: dict[str, str]) -> httpx.Response:
        if "csrftoken" not in self._http.cookies:
            self._get("/sign-in/")
        token = self._http.cookies.get("csrftoken", "")
        return self._checked(self._http.post(path, data={**fields, "csrfmiddlewaretoken": token}))

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if not response.is_success:
            raise self._failure(f"{response.request.method} {response.request.url.path} gave {response.status_code}")
        return response

    def _failure(self, reason: str) -> StepFailed:
        return StepFailed(step=self.step, reason=f"the school's page: {reason}", log=str(self.log))
