"""Fetches a checkpoint from a hub of models by its id, where a hub is reachable."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.utils import disable_progress_bars

from central.releases.packaging.checkpoint_folder import FOLDER_FILES
from central.releases.packaging.errors import CheckpointMissing

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_TIMEOUT_SECONDS = 10.0


def is_hub_id(words: str) -> bool:
    """Whether `words` are an owner and a name, as in `google/gemma-3-1b-it`."""
    return _ID.fullmatch(words) is not None


def hub_fetch(repository: str, *, cache: Path, endpoint: str | None = None) -> Path:
    """Return the folder of the newest revision of `repository`, fetched into `cache`; a cut fetch goes on next time.

    `endpoint` is the hub's address (default: that of the environment variable HF_ENDPOINT, or huggingface.co). A hub
    that does not answer within 10 seconds counts as unreachable; what an earlier fetch left in `cache` is then taken.

    Raises:
        CheckpointMissing: the hub is unreachable, has no such repository, or wants a token for it.
    """
    disable_progress_bars()
    source = f"{endpoint or constants.ENDPOINT}/{repository}"
    try:
        # The newest, because a person names a model and not a commit; the gate judges the very bytes that came, and
        # their digest names the release.
        folder = snapshot_download(  # nosec B615
            repository,
            cache_dir=cache,
            endpoint=endpoint,
            allow_patterns=list(FOLDER_FILES),
            ignore_patterns=["*/*"],
            local_files_only=not _answers(repository, endpoint),
        )
    except OSError as error:
        raise CheckpointMissing(source=source) from error
    return Path(folder)


def _answers(repository: str, endpoint: str | None) -> bool:
    """Whether the hub lets us see `repository`; asked first because a fetch asks without a time limit."""
    try:
        HfApi(endpoint=endpoint).model_info(repository, timeout=_TIMEOUT_SECONDS)
    except OSError:
        return False
    return True
