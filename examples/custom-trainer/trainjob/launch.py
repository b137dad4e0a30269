#!/usr/bin/env python3
"""Trains an XGBoost model for Modelward on several nodes: creates a Kubeflow TrainJob, and waits for its model.

The launcher is the image of source.training.customTrainer and needs only Python. It serves the files of the contract at the address of its Pod,
under a secret path that only its nodes know. Node 0 of the TrainJob sends the model back. See docs/custom-trainer.md.

    launch.py [--nodes=2] [--rounds=100] [--runtime=xgboost-distributed] [--deadlineSeconds=3600]
"""

import contextlib
import http.client
import http.server
import json
import os
import re
import secrets
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TERMINATION_LOG = Path("/dev/termination-log")
DEFAULTS = {"nodes": "2", "rounds": "100", "runtime": "xgboost-distributed", "deadlineSeconds": "3600"}
# Maximum size of a model in bytes.
MOST = 1 << 30
# Timeout in seconds if a node stops sending its model.
SILENCE = 60
# Seconds that the state of the TrainJob may be unreadable.
PATIENCE = 300


def read_settings(arguments):
    """Returns the settings by name, numbers as int. The arguments cannot choose an image, a command or a service account."""
    settings = dict(DEFAULTS)
    for argument in arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        if not equals or name not in DEFAULTS:
            raise ValueError(f"{argument} is not an argument of the launcher; write --NAME=VALUE with one of {', '.join(DEFAULTS)}")
        settings[name] = value
    if not re.fullmatch("[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", settings["runtime"]):
        raise ValueError(f"--runtime={settings['runtime']} is not a name; write that of a ClusterTrainingRuntime")
    for name in ("nodes", "rounds", "deadlineSeconds"):
        if not re.fullmatch("[1-9][0-9]{0,6}", settings[name]):
            raise ValueError(f"--{name}={settings[name]} is not a number; write a whole one from 1 to 9999999")
        settings[name] = int(settings[name])
    return settings


def own_address():
    """Returns the address of this Pod, IPv4 or IPv6: the first one of its host name."""
    return socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)[0][4][0]


class Server(http.server.ThreadingHTTPServer):
    """Listens on a free port of all addresses, of both families if the Pod's address is IPv6."""

    def __init__(self, address, handler):
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__(("::" if ":" in address else "0.0.0.0", 0), handler)

    def server_bind(self):
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def receive(source, length, file):
    """Returns whether `length` bytes were received before the connection ended."""
    with open(file, "wb") as out:
        while length and (part := source.read(min(length, 1 << 20))):
            out.write(part)
            length -= len(part)
    return length == 0


def serve(contract, table, out, path, address):
    """Serves both files and accepts one model. Returns the URL and an event that is set when the model has been received."""
    done, taking = threading.Event(), threading.Lock()
    part, model = out / ".model.part", out / "model.ubj"

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
            length = self.headers.get("Content-Length") or ""
            if self.path != f"/{path}/model":
                return self.send_error(404)
            if not re.fullmatch("[0-9]{1,10}", length) or not 0 < int(length) <= MOST:
                return self.send_error(413, f"a model has a Content-Length from 1 to {MOST}")
            # One upload at a time: no partial file may remain next to the model when the launcher ends.
            if not taking.acquire(blocking=False):
                return self.send_error(409, "another model is being sent")
            try:
                status, reason = self.take(int(length))
            finally:
                taking.release()
            # The model counts even if the node does not read the response.
            with contextlib.suppress(OSError):
                self.send_response(status, reason)
                self.end_headers()
            if status == 204:
                done.set()

        def take(self, length):
            """Receives the model and returns the status and reason of the response."""
            if model.exists():
                return 409, "a model was already received"
            self.connection.settimeout(SILENCE)
            try:
                if not receive(self.rfile, length, part):
                    raise ConnectionError("the connection ended before the whole model was received")
                part.replace(model)
            except OSError as error:
                print(f"a model was not received: {error}", file=sys.stderr)
                return 400, "the model was not received"
            finally:
                part.unlink(missing_ok=True)
            return 204, None

        def log_message(self, *_):
            pass

    server = Server(address, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{server.server_address[1]}/{path}", done


class ApiError(Exception):
    """The API server rejected a call; `code` is the HTTP status."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


FAILURES = (ApiError, OSError, http.client.HTTPException, ValueError)


class RefuseRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class ApiServer:
    """Calls the API server as the service account of the version. `base` is its URL, `account` the folder with token and ca.crt."""

    def __init__(self, base, account):
        self.base, self.account = base, account
        context = ssl.create_default_context(cafile=str(account / "ca.crt"))
        # The token is sent only to the API server and never to a proxy, even if the image sets proxy variables.
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), RefuseRedirects()
        self.opener = urllib.request.build_opener(*handlers)

    @classmethod
    def of_pod(cls):
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        return cls(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}", ACCOUNT)

    def call(self, method, path, body=None, timeout=30):
        """Returns the object in the response. Raises one of FAILURES."""
        # The kubelet renews the token.
        headers = {"Authorization": f"Bearer {(self.account / 'token').read_text().strip()}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, json.dumps(body).encode() if body else None, headers, method=method)
        try:
            with self.opener.open(request, timeout=timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read(4096).decode(errors="replace")
            with contextlib.suppress(ValueError, AttributeError):
                text = json.loads(text).get("message", text)
            raise ApiError(error.code, text) from None


def job_name(version, suffix):
    """Returns a name for a TrainJob: an RFC 1035 label, short enough for the names of its Pods. The version may begin with a digit or contain dots."""
    return f"t-{re.sub('[^a-z0-9-]', '-', version)[:30]}-{suffix}"


def job_owner(environment):
    """Returns an owner reference to the Job of this Pod, with which Kubernetes deletes the TrainJob. Empty if its name or uid is not known."""
    name, uid = environment.get("MODELWARD_JOB"), environment.get("MODELWARD_JOB_UID")
    return [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}] if name and uid else []


def train_job(name, url, settings, owners):
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name, "ownerReferences": owners},
        "spec": {
            "runtimeRef": {"name": settings["runtime"]},
            "activeDeadlineSeconds": settings["deadlineSeconds"],
            "trainer": {
                "numNodes": settings["nodes"],
                "command": ["python", "-c", Path(__file__).with_name("node.py").read_text(encoding="utf-8")],
                "args": [url, str(settings["rounds"]), str(settings["nodes"])],
            },
        },
    }


def wait_for_model(api, path, done, pause=5, patience=PATIENCE):
    """Waits for the model. Fails if the TrainJob ends or is deleted without one, or if its state cannot be read for `patience` seconds."""
    failing_since = None
    while not done.wait(pause):
        try:
            conditions = (api.call("GET", path).get("status") or {}).get("conditions") or []
        except FAILURES as error:
            if isinstance(error, ApiError) and error.code == 404:
                raise RuntimeError("the TrainJob was deleted before its model was received") from error
            print(f"the TrainJob cannot be read: {error}", file=sys.stderr)
            failing_since = time.monotonic() if failing_since is None else failing_since
            if time.monotonic() - failing_since >= patience:
                raise RuntimeError(f"the TrainJob could not be read for {patience} seconds: {error}") from error
            continue
        failing_since = None
        ended = [one for one in conditions if one["type"] in ("Complete", "Failed") and one["status"] == "True"]
        if ended and not done.wait(2 * pause):
            raise RuntimeError(f"the TrainJob ended without a model: {ended[0]['type']}: {ended[0].get('message', '')}")


def delete_train_job(api, path):
    """Tries three times, within the 30 seconds that a Pod has to end. Never fails: the model may be complete, and the owner deletes the TrainJob later."""
    for _ in range(3):
        try:
            api.call("DELETE", path, timeout=8)
            return
        except FAILURES as error:
            if isinstance(error, ApiError) and error.code == 404:
                return
            print(f"the TrainJob was not deleted: {error}", file=sys.stderr)
            time.sleep(1)


def end_on_signal(*_):
    raise SystemExit(143)


def main(arguments, api=None, address=None, pause=5):
    # Without a handler, Python as process 1 of the container would ignore the signal and leave the TrainJob.
    signal.signal(signal.SIGTERM, end_on_signal)
    settings = read_settings(arguments)
    contract, table, out = (Path(os.environ[name]) for name in ("MODELWARD_CONTRACT", "MODELWARD_TRAIN_FILE", "MODELWARD_OUTPUT_DIR"))
    api = api or ApiServer.of_pod()
    url, done = serve(contract, table, out, secrets.token_urlsafe(32), address or own_address())
    jobs = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{os.environ['MODELWARD_NAMESPACE']}/trainjobs"
    # A random suffix: a recreated Pod would find the name taken if the TrainJob of its predecessor still exists.
    name = job_name(os.environ["MODELWARD_VERSION"], secrets.token_hex(4))
    try:
        api.call("POST", jobs, train_job(name, url, settings, job_owner(os.environ)))
        wait_for_model(api, f"{jobs}/{name}", done, pause)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        delete_train_job(api, f"{jobs}/{name}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Exception as error:
        # Kubernetes mounts this file; without a cluster it does not exist.
        if TERMINATION_LOG.exists():
            TERMINATION_LOG.write_text(json.dumps({"message": f"{type(error).__name__}: {error}"}))
        raise
