#!/usr/bin/env python3
"""Trains an XGBoost model for Modelward on several nodes: creates a Kubeflow TrainJob, and waits for its model.

The launcher is the image of source.training.customTrainer, and needs Python alone. It serves the files of the contract at its Pod's address,
under a path that only its nodes know; node 0 of the TrainJob sends the model back. See docs/custom-trainer.md.

    launch.py [--nodes=2] [--rounds=100] [--runtime=xgboost-distributed]
"""

import http.server
import json
import os
import secrets
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# No model is taken that is larger.
MOST = 1 << 30


def serve(contract, table, out, path):
    """The address of a server of both files, which takes one model; and what is set once it has come."""
    done = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            file = {f"/{path}/contract.json": contract, f"/{path}/train.csv": table}.get(self.path)
            if file is None:
                return self.send_error(404)
            body = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self):
            length = int(self.headers.get("Content-Length") or 0)
            if self.path != f"/{path}/model" or not 0 < length <= MOST or done.is_set():
                return self.send_error(404)
            (out / "model.ubj").write_bytes(self.rfile.read(length))
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = os.environ.get("LAUNCHER_ADDRESS") or socket.gethostbyname(socket.gethostname())
    return f"http://{address}:{server.server_address[1]}/{path}", done


def call(method, path, body=None):
    """A call of the API server as the service account of the version."""
    host = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    token = (ACCOUNT / "token").read_text()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(host + path, json.dumps(body).encode() if body else None, headers, method=method)
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:
        return json.load(answer)


def train_job(name, url, settings):
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name},
        "spec": {
            "runtimeRef": {"name": settings["runtime"]},
            "trainer": {
                "numNodes": int(settings["nodes"]),
                "command": ["python", "-c", Path(__file__).with_name("node.py").read_text(encoding="utf-8")],
                "args": [url, settings["rounds"]],
            },
        },
    }


def main():
    settings = {"nodes": "2", "rounds": "100", "runtime": "xgboost-distributed"}
    settings |= dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[1:])
    url, done = serve(
        Path(os.environ["MODELWARD_CONTRACT"]), Path(os.environ["MODELWARD_TRAIN_FILE"]), Path(os.environ["MODELWARD_OUTPUT_DIR"]), secrets.token_urlsafe(32)
    )
    jobs = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{os.environ['MODELWARD_NAMESPACE']}/trainjobs"
    # A Pod that is made again finds the name taken by what is left of the one before it.
    name = f"{os.environ['MODELWARD_VERSION'][:30]}-{secrets.token_hex(4)}"
    call("POST", jobs, train_job(name, url, settings))
    try:
        while not done.wait(5):
            conditions = call("GET", f"{jobs}/{name}").get("status", {}).get("conditions", [])
            ended = [one for one in conditions if one["type"] in ("Complete", "Failed") and one["status"] == "True"]
            if ended and not done.wait(10):
                raise RuntimeError(f"TrainJob {name}: {ended[0]['type']}: {ended[0].get('message', '')}, and no model came")
    finally:
        call("DELETE", f"{jobs}/{name}")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        Path("/dev/termination-log").write_text(json.dumps({"message": f"{type(error).__name__}: {error}"}))
        raise
