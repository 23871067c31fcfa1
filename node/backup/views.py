"""The page «Backup»: the head makes backups, takes them along, and puts one back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRefresh

from federation.errors import FederationError
from node.backup.errors import PassphraseRefused, RestoreUnsettled
from node.backup.launch import work_launch
from node.backup.making import PIECE_BYTES
from node.backup.places import BackupFile, backup_newest_at, backup_open, backups_find, local_folder, stick_folder
from node.backup.restoring import is_undo_possible, restore_keep, undo_read
from node.backup.sealed_file import passphrase_read
from node.backup.work import WorkKind, WorkStatus, work_announce, work_newest, work_stop
from node.guards import head_required
from node.media import media_here
from node.sentences import error_sentence, sentence_of

HERE = "here"
"""The place of a backup that stays on this PC."""


@require_GET
@head_required
@never_cache
def backup(request: HttpRequest) -> HttpResponse:
    """Show what backups there are, and how the last work went."""
    return _page(request)


@require_GET
@head_required
@never_cache
def progress(request: HttpRequest) -> HttpResponse:
    """Show how far the running work is."""
    page = _work()
    if getattr(request, "htmx", False) and not page["is_running"]:
        # What else the page offers has changed with the work.
        return HttpResponseClientRefresh()
    return render(request, "node/backup_work.html", page)


@require_POST
@head_required
def make(request: HttpRequest) -> HttpResponse:
    """Begin a backup to this PC or to one of the sticks that are there."""
    root: Path = settings.NODE_ROOT
    folders = {str(medium.place): stick_folder(medium.place) for medium in media_here()} | {HERE: local_folder(root)}
    folder = folders.get(request.POST.get("place", ""))
    if folder is None:
        raise Http404
    passphrase = request.POST.get("passphrase", "")
    try:
        passphrase_read(passphrase)
        if passphrase != request.POST.get("again", ""):
            raise PassphraseRefused
        work_announce(root=root, kind=WorkKind.MAKE, now=timezone.now())
    except FederationError as error:
        return _page(request, make_problem=error_sentence(error))
    work_launch(root=root, arguments=("make", "--", str(folder)), passphrase=passphrase)
    return redirect("backup")


@require_POST
@head_required
def restore(request: HttpRequest) -> HttpResponse:
    """Begin to put one of the backups that are there back."""
    root: Path = settings.NODE_ROOT
    file = _chosen(request.POST.get("file", ""))
    passphrase = request.POST.get("passphrase", "")
    try:
        passphrase_read(passphrase)
        if is_undo_possible(root):
            raise RestoreUnsettled
        work_announce(root=root, kind=WorkKind.RESTORE, now=timezone.now())
    except FederationError as error:
        return _page(request, restore_problem=error_sentence(error))
    work_launch(root=root, arguments=("restore", "--", str(file.path)), passphrase=passphrase)
    return redirect("backup")


@require_POST
@head_required
def settle(request: HttpRequest) -> HttpResponse:
    """Keep what was put back last, or go back to the data from before it."""
    root: Path = settings.NODE_ROOT
    try:
        if request.POST.get("works") == "1":
            restore_keep(root=root)
        else:
            undo_read(root)
            work_announce(root=root, kind=WorkKind.UNDO, now=timezone.now())
            work_launch(root=root, arguments=("undo",))
    except FederationError as error:
        return _page(request, restore_problem=error_sentence(error))
    return redirect("backup")


@require_POST
@head_required
def stop(request: HttpRequest) -> HttpResponse:
    """Stop the running work."""
    del request
    work_stop(settings.NODE_ROOT)
    return redirect("backup")


@require_GET
@head_required
@never_cache
def download(request: HttpRequest) -> StreamingHttpResponse:
    """Send a backup that lies on this PC."""
    file = _chosen(request.GET.get("file", ""))
    response = StreamingHttpResponse(_pieces(file.path), content_type="application/octet-stream")
    response["Content-Length"] = str(file.size_bytes)
    response["Content-Disposition"] = f'attachment; filename="{file.path.name}"'
    return response


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    stream = await sync_to_async(backup_open)(path)
    try:
        while piece := await sync_to_async(stream.read)(PIECE_BYTES):
            yield piece
    finally:
        stream.close()


def _chosen(path: str) -> BackupFile:
    files = {str(file.path): file for file in backups_find(root=settings.NODE_ROOT, media=media_here())}
    if path not in files:
        raise Http404
    return files[path]


def _page(request: HttpRequest, **problems: str) -> HttpResponse:
    root: Path = settings.NODE_ROOT
    media = media_here()
    page = {
        "media": media,
        "here": HERE,
        "files": backups_find(root=root, media=media),
        "newest_at": backup_newest_at(root),
        "restored": undo_read(root) if is_undo_possible(root) else None,
    }
    return render(request, "node/backup.html", page | _work() | problems)


def _work() -> dict[str, object]:
    work = work_newest(root=settings.NODE_ROOT, now=timezone.now())
    is_running = work is not None and work.status is WorkStatus.RUNNING
    problem = sentence_of(work.error_code, work.error_fields) if work is not None and work.error_code else ""
    return {"work": work, "is_running": is_running, "problem": problem}
