"""Flower as it comes: a FedAvg round over a SuperLink whose SuperNodes train inside of the message handler.

Writes the app's bundle and opens a stock SuperNode; what the round came to stands in the file that the app leaves.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from central.training.superlink import superlink_config
from federation.learning.flower.keys import private_key_openssh, private_write
from federation.learning.flower.processes import CONNECTION, SuperNodeConfig, flower_env, supernode_argv
from tests.real_superlink import School, SuperLink

_SERVER = """
import json, time
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()

class Counted(FedAvg):
    collected = 0
    def aggregate_train(self, server_round, replies):
        replies = list(replies)
        Counted.collected = sum(not reply.has_error() for reply in replies)
        return super().aggregate_train(server_round, replies)

@app.main()
def main(grid, context):
    config = context.run_config
    arrays = ArrayRecord([np.zeros(int(config["numbers"]), np.float32)])
    strategy = Counted(
        fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=int(config["nodes"]),
        min_available_nodes=int(config["nodes"]),
    )
    began = time.time()
    try:
        strategy.start(grid, arrays, num_rounds=1, timeout=float(config["timeout-s"]))
    finally:
        found = {"collected": Counted.collected, "seconds": time.time() - began}
        with open(config["result"], "w") as file:
            json.dump(found, file)
"""
_CLIENT = """
import time
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(message, context):
    time.sleep(float(context.run_config["train-s"]))
    content = RecordDict({
        "arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 2.0}),
    })
    return Message(content, reply_to=message)
"""
_PROJECT = """
[project]
name = "stock"
version = "1.0.0"
license = "Apache-2.0"
description = "FedAvg as it comes"
dependencies = ["flwr==1.41.0"]
[tool.flwr.app]
publisher = "soro"
[tool.flwr.app.components]
serverapp = "stock.server:app"
clientapp = "stock.client:app"
[tool.flwr.app.config]
"""


def round_start(
    superlink: SuperLink, *, folder: Path, nodes: int, size_bytes: int, train_seconds: float, timeout_seconds: float
) -> Path:
    """Submit a round of FedAvg over float32 arrays of `size_bytes`; return where it will leave what it came to."""
    result = folder / "result.json"
    (folder / "stock").mkdir(parents=True)
    (folder / "stock" / "__init__.py").touch()
    (folder / "stock" / "server.py").write_text(_SERVER)
    (folder / "stock" / "client.py").write_text(_CLIENT)
    config = {
        "nodes": nodes, "numbers": size_bytes // 4, "train-s": train_seconds, "timeout-s": timeout_seconds,
        "result": str(result),
    }  # fmt: skip
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items())
    (folder / "pyproject.toml").write_text(_PROJECT + lines)
    home = superlink_config(root=superlink.root, port=superlink.port).home
    subprocess.run(["flwr", "run", folder, CONNECTION], check=True, env=flower_env(home=home), capture_output=True)
    return result


@contextmanager
def supernode_open(school: School, superlink: SuperLink, *, link_port: int, own_port: int) -> Iterator[None]:
    """Run Flower's own SuperNode, which runs whatever app the SuperLink sends."""
    home = school.folder / "stock"
    home.mkdir()
    private_write(home / "node_key", private_key_openssh((school.folder / "node.pem").read_bytes()))
    config = SuperNodeConfig(
        home=home,
        superlink=f"localhost:{link_port}",
        authority=superlink.root / "tls" / "ca.pem",
        openssh_key=home / "node_key",
        outbox=school.folder / "outbox",
        port=own_port,
    )
    with (home / "supernode.log").open("wb") as log:
        process = subprocess.Popen(
            supernode_argv(config), env=flower_env(home=home), stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
