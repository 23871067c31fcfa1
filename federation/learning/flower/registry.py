"""Lists a SuperLink's nodes as JSON, with the name and key each was registered with.

`flwr supernode list` prints neither, so this reads them over the same Control API that the `flwr` program uses. That
client is not a public interface of Flower: the version is pinned and a test with a real SuperLink covers it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from flwr.proto.control_pb2 import ListNodesRequest
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor


def nodes_list(*, superlink: str, root_certificates: bytes) -> list[dict[str, str]]:
    """Return `node-id`, `name`, `public-key` (PEM) and `status` of each node ever registered, unregistered ones too."""
    client = ControlHttpClient.from_server_address(
        server_address=superlink,
        insecure=False,
        root_certificates=root_certificates,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
    )
    try:
        answer = client.ListNodes(ListNodesRequest())
    finally:
        client.close()
    return [
        {
            "node-id": str(node.node_id),
            "name": node.name,
            "public-key": node.public_key.decode("ascii", "replace"),
            "status": node.status,
        }
        for node in answer.nodes_info
    ]


def main() -> None:
    """Print `{"success": true, "nodes": [...]}`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--superlink", required=True)
    parser.add_argument("--root-certificates", required=True, type=Path)
    arguments = parser.parse_args()
    nodes = nodes_list(superlink=arguments.superlink, root_certificates=arguments.root_certificates.read_bytes())
    json.dump({"success": True, "nodes": nodes}, sys.stdout)


if __name__ == "__main__":
    main()
