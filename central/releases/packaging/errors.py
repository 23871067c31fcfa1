"""What can go wrong while a checkpoint becomes a package; the operator of the centre acts on each of them."""

from __future__ import annotations

from federation.errors import CapacityError


class CheckpointMissing(CapacityError):
    """Nothing readable is at the place that should hold the checkpoint: `source`."""

    code = "checkpoint_missing"


class CheckpointIncomplete(CapacityError):
    """The checkpoint at `source` lacks `missing` (a file, a tensor or a setting)."""

    code = "checkpoint_incomplete"


class UnsupportedArchitecture(CapacityError):
    """The checkpoint at `source` is of `architecture`; `supported` names what can be packaged."""

    code = "unsupported_architecture"


class ExporterRefused(CapacityError):
    """`exporter` does not make a graph of `architecture`, for `problem`; `other` is the exporter that may."""

    code = "exporter_refused"


class QuantisationTooLossy(CapacityError):
    """The package's perplexity in `language` is `shipped` where fp32 has `reference`: further off than `allowed`."""

    code = "quantisation_too_lossy"


class GraphUnexpected(CapacityError):
    """The exported graph differs from what the next step can work on: `expected` and `found`."""

    code = "graph_unexpected"


class PackageTooLarge(CapacityError):
    """The smallest package that the bits allow has `smallest_bytes`; the recipe asks for `max_bytes`."""

    code = "package_too_large"


class BuildMemoryShort(CapacityError):
    """The build's `step` would need `needed_bytes` of memory where `available_bytes` are to be had here."""

    code = "build_memory_short"


class BuildUnderWay(CapacityError):
    """Another build works in the folder `work`; two at once would take each other's memory and files."""

    code = "build_under_way"
