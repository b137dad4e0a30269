#!/usr/bin/env python3
"""Runs the examples of trainers of one's own on the sample data, has the trainer measure what they leave, and computes every metric again.

    compare_custom.py TRAINER REPOSITORY FOLDER

`train.py` of examples/custom-trainer trains with LightGBM, one process. Of the TrainJob, the launcher's server and two nodes run as processes,
by the command that the TrainJob has. The whole launcher runs against a local server that answers as the API server would, over TLS; no cluster and
no Kubeflow Trainer are part of it.
"""

import csv
import importlib.util
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import lightgbm
import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, log_loss, matthews_corrcoef, roc_auc_score

LAUNCHER = "examples/custom-trainer/trainjob/launch.py"
# A proxy that must not be asked.
UNREACHABLE = "http://127.0.0.1:1"


def run(command, **environment):
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=os.environ | environment)
    assert ended.returncode == 0, f"{command}: {ended.stdout} {ended.stderr}"
    return ended.stdout


def prepare(trainer, spec, source, folder):
    run([trainer, "prepare", "--spec", spec, "--source", source, "--out", folder / "input"])
    (folder / "output").mkdir()
    return folder / "input", folder / "output"


def measure(trainer, spec, source, folder):
    """The bundle of what an image left, with its metrics computed again from the scores of the held-out rows."""
    bundle = folder / "bundle"
    result = json.loads(run([trainer, "fit", "--spec", spec, "--source", source, "--trained", folder / "output", "--out", bundle]))
    metrics = json.loads((bundle / "metrics.json").read_text())
    with open(bundle / "out-of-fold.csv", newline="") as file:
        scored = [line for line in csv.DictReader(file) if line["score"]]
    [candidate] = metrics["candidates"]
    values = {}
    for fold in candidate["folds"]:
        of_fold = [line for line in scored if int(line["fold"]) == fold["fold"]]
        labels = np.array([int(line["label"]) for line in of_fold])
        scores = np.array([float(line["score"]) for line in of_fold])
        classes = scores >= fold["threshold"]
        expected = {
            "RocAuc": roc_auc_score(labels, scores),
            "PrAuc": average_precision_score(labels, scores),
            "LogLoss": log_loss(labels, scores),
            "Brier": brier_score_loss(labels, scores),
            "F1": f1_score(labels, classes),
            "Mcc": matthews_corrcoef(labels, classes),
        }
        for name, value in expected.items():
            assert abs(value - fold["metrics"][name]) < 1e-9, (name, value, fold["metrics"][name])
            values.setdefault(name, []).append(value)
    for metric in candidate["metrics"]:
        if metric["name"] in values:
            of = np.array(values[metric["name"]])
            assert abs(of.mean() - metric["mean"]) < 1e-9
            assert abs(of.std(ddof=1) / np.sqrt(len(of)) - metric["standardError"]) < 1e-9, "parts share no rows"
    print(f"{result['message']}: {len(scored)} rows and {len(values)} metrics as in scikit-learn")
    return bundle, scored


def compare_lightgbm(trainer, repository, spec, source, folder):
    received, left = prepare(trainer, spec, source, folder)
    arguments = re.search(r"args: (\[.*\])", spec.read_text()).group(1)
    environment = {
        "MODELWARD_CONTRACT": str(received / "contract.json"),
        "MODELWARD_TRAIN_FILE": str(received / "train.csv"),
        "MODELWARD_OUTPUT_DIR": str(left),
    }
    run([sys.executable, repository / "examples/custom-trainer/train.py", *json.loads(arguments)], **environment)
    bundle, scored = measure(trainer, spec, source, folder)
    assert json.loads((bundle / "bundle.json").read_text())["customTrainer"]["comparedRows"] > 200
    # The model of the bundle gives the held-out rows the scores of Python's library.
    contract = json.loads((received / "contract.json").read_text())
    columns = re.search(r"columns: \[(.*)\]", spec.read_text()).group(1).split(", ")
    lines = [dict(zip(columns, line.split(","))) for line in source.read_text().splitlines()]

    def value(feature, cell):
        if cell == "?":
            return np.nan
        # As the trainer reads codes: 1.0 is 1.
        return feature["categories"].index(f"{float(cell):g}") if "categories" in feature else float(cell)

    rows = [[value(feature, lines[int(line["row"]) - 1][feature["name"]]) for feature in contract["features"]] for line in scored]
    expected = lightgbm.Booster(model_file=left / "model.txt").predict(np.array(rows, dtype=np.float32))
    distance = np.abs(expected - np.array([float(line["score"]) for line in scored])).max()
    assert distance < 1e-7, distance


def load_launcher(repository):
    place = importlib.util.spec_from_file_location("launch", repository / LAUNCHER)
    launch = importlib.util.module_from_spec(place)
    place.loader.exec_module(launch)
    return launch


def run_nodes(launch, received, left, address, workers):
    """The exit codes and the standard errors of both nodes, and whether a model came."""
    url, done = launch.serve(received / "contract.json", received / "train.csv", left, "secret", address)
    job = launch.train_job("heart", url, launch.read_settings(["--rounds=60"]), [])
    program = job["spec"]["trainer"]["command"][1:] + job["spec"]["trainer"]["args"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = []
    for rank in range(job["spec"]["trainer"]["numNodes"]):
        environment = {
            "DMLC_TASK_ID": str(rank),
            "DMLC_NUM_WORKER": str(workers),
            "DMLC_TRACKER_URI": "127.0.0.1",
            "DMLC_TRACKER_PORT": str(port),
            "http_proxy": UNREACHABLE,
        }
        nodes.append(subprocess.Popen([sys.executable, *program], env=os.environ | environment, stderr=subprocess.PIPE, text=True))
    try:
        errors = [node.communicate(timeout=300)[1] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    return [node.returncode for node in nodes], errors, done.is_set()


def has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


def check_nodes(launch, received, left):
    codes, errors, came = run_nodes(launch, received, left, "127.0.0.1", workers=4)
    assert codes == [1, 1] and not came and not list(left.iterdir()), (codes, errors)
    assert all("expects 4 workers on 2 nodes" in error and "Traceback" not in error for error in errors), errors
    codes, errors, came = run_nodes(launch, received, left, "127.0.0.1", workers=2)
    assert codes == [0, 0] and came, errors
    if has_ipv6():
        first = (left / "model.ubj").read_bytes()
        (left / "model.ubj").unlink()
        codes, errors, came = run_nodes(launch, received, left, "::1", workers=2)
        assert codes == [0, 0] and came and (left / "model.ubj").read_bytes() == first, errors
    print("nodes: a wrong number of workers is refused, two nodes leave a model")


def check_arguments(launch):
    for version in ("heart-1", "1", "1.2.0", "a." * 100, "-", "x" * 253):
        name = launch.job_name(version, "0123abcd")
        assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name) and name.endswith("-0123abcd"), name
        # The Pods of the TrainJob: NAME-node-0-INDEX-RANDOM, at most 63 characters.
        assert len(f"{name}-node-0-999-abcde") <= 63, name
    assert launch.read_settings(["--nodes=3"])["nodes"] == 3
    for argument in ("--nodes=0", "--nodes=two", "--nodes", "--image=evil", "--rounds=1e3", "--runtime=../x", "--runtime=", "--deadlineSeconds=-1"):
        try:
            launch.read_settings([argument])
        except ValueError as error:
            assert argument in str(error) and "write" in str(error), error
        else:
            raise AssertionError(f"{argument} was taken")
    assert launch.job_owner({"MODELWARD_JOB_UID": "1-2"}) == []
    print("launcher: names and arguments")


def put_model(url, body):
    """The status of an upload."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(f"{url}/model", body, method="PUT"), timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def check_upload(launch, left):
    for address in ("127.0.0.1", "::1") if has_ipv6() else ("127.0.0.1",):
        url, done = launch.serve(left, left, left, "secret", address)
        assert url.startswith("http://[::1]:" if ":" in address else "http://127.0.0.1:"), url
        port = int(re.search(r":(\d+)/", url).group(1))
        for header in ("Content-Length: 1000", "Content-Length: -1", "Content-Length: ten", "Content-Length: 9999999999", "Transfer-Encoding: chunked"):
            with socket.create_connection((address, port)) as cut:
                cut.sendall(f"PUT /secret/model HTTP/1.0\r\n{header}\r\n\r\n".encode() + b"x" * 999)
                cut.shutdown(socket.SHUT_WR)
                status = cut.recv(4096).split()[1]
                assert status in (b"400", b"413"), (header, status)
            assert not done.is_set() and not list(left.iterdir()), header
        assert put_model(url[: -len("secret")] + "other", b"model") == 404
        assert put_model(url, b"model" * 500_000) == 204 and done.wait(10)
        assert put_model(url, b"second") == 409
        assert [(file.name, file.stat().st_size) for file in left.iterdir()] == [("model.ubj", 2_500_000)]
        (left / "model.ubj").unlink()
    print("launcher: a cut upload leaves nothing")


@contextmanager
def api_server(folder, answer):
    """The URL of a server over TLS whose answers are `answer(method)`: a status and an object; and the calls that it had."""
    calls = []

    class Handler(BaseHTTPRequestHandler):
        def handle_call(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            assert self.headers["Authorization"] == "Bearer a-token"
            code, value = answer(self.command)
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())
            calls.append((self.command, self.path, json.loads(body) if body else None))

        do_GET = do_POST = do_DELETE = handle_call

        def log_message(self, *_):
            pass

    if not folder.exists():
        folder.mkdir()
        (folder / "token").write_text("a-token\n")
        request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=api -addext subjectAltName=IP:127.0.0.1"
        run(["openssl", *request.split(), "-keyout", folder / "key", "-out", folder / "ca.crt"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.crt", folder / "key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}", calls
    finally:
        server.shutdown()
        server.server_close()


def run_launcher(repository, folder, answer, act):
    """The exit code, the standard error and the calls of a launcher, to which `act(process, url)` is done after a look at its TrainJob."""
    program = (
        "import importlib.util, sys; from pathlib import Path; place = importlib.util.spec_from_file_location('launch', sys.argv[1]); "
        "launch = importlib.util.module_from_spec(place); place.loader.exec_module(launch); "
        "launch.main([], launch.ApiServer(sys.argv[2], Path(sys.argv[3])), '127.0.0.1', pause=0.1)"
    )
    environment = {name: str(folder) for name in ("MODELWARD_CONTRACT", "MODELWARD_TRAIN_FILE", "MODELWARD_OUTPUT_DIR")} | {
        "MODELWARD_NAMESPACE": "hospital",
        "MODELWARD_VERSION": "1.heart",
        "MODELWARD_JOB": "fit-heart",
        "MODELWARD_JOB_UID": "1111-2222",
        "https_proxy": UNREACHABLE,
    }
    with api_server(folder.parent / "account", answer) as (base, calls):
        command = [sys.executable, "-c", program, repository / LAUNCHER, base, folder.parent / "account"]
        process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)
        try:
            until = time.monotonic() + 60
            while len(calls) < 2 and process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            assert calls, process.communicate(timeout=60)[1]
            act(process, calls[0][2]["spec"]["trainer"]["args"][0])
            errors = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    return process.returncode, errors, calls


def answer_creation_only(method):
    return (201, {}) if method == "POST" else (500, {"message": "etcd is away"})


def answer_gone(method):
    return (201, {}) if method == "POST" else (404, {"message": "not found"})


def check_launcher(repository, folder):
    folder.mkdir()
    code, errors, calls = run_launcher(repository, folder, lambda _: (200, {}), lambda process, _: process.send_signal(signal.SIGTERM))
    jobs, job = calls[0][1:]
    assert jobs == "/apis/trainer.kubeflow.org/v1alpha1/namespaces/hospital/trainjobs"
    assert job["metadata"]["ownerReferences"] == [{"apiVersion": "batch/v1", "kind": "Job", "name": "fit-heart", "uid": "1111-2222"}]
    assert job["spec"]["activeDeadlineSeconds"] == 3600 and job["spec"]["trainer"]["numNodes"] == 2
    # Kubernetes would expand a variable.
    assert "$(" not in job["spec"]["trainer"]["command"][2] and len(job["spec"]["trainer"]["command"][2]) < 65536
    deleted = ("DELETE", f"{jobs}/{job['metadata']['name']}", None)
    assert code == 143 and calls[-1] == deleted and calls[1][0] == "GET", (code, errors, calls)

    code, errors, calls = run_launcher(repository, folder, answer_creation_only, lambda _, url: put_model(url, b"model"))
    assert code == 0 and (folder / "model.ubj").read_bytes() == b"model", errors
    assert [call[0] for call in calls[-3:]] == ["DELETE"] * 3 and "not deleted: 500: etcd is away" in errors, (calls, errors)

    failed = {"status": {"conditions": [{"type": "Failed", "status": "True", "message": "BackoffLimit"}]}}
    for answer, sentence in ((lambda _: (200, failed), "ended without a model: Failed: BackoffLimit"), (answer_gone, "was deleted before its model was received")):
        code, errors, calls = run_launcher(repository, folder, answer, lambda *_: None)
        assert code == 1 and sentence in errors and calls[-1][0] == "DELETE", (code, errors, calls)
    print("launcher: deletes its TrainJob on a signal and on failures, and a model counts although the API server fails")


def check_patience(launch, folder):
    with api_server(folder.parent / "account", lambda _: (503, {})) as (base, calls):
        try:
            launch.wait_for_model(launch.ApiServer(base, folder.parent / "account"), "/job", threading.Event(), pause=0.1, patience=0.5)
        except RuntimeError as error:
            assert "could not be read" in str(error) and len(calls) > 2, error
        else:
            raise AssertionError("no model came, and the launcher ended well")


def check_example(repository, received, left):
    """Arguments do not replace what is fixed, and a bad one is a sentence; without a cluster there is no termination log to write to."""
    program = repository / "examples/custom-trainer/train.py"
    environment = {"MODELWARD_CONTRACT": str(received / "contract.json"), "MODELWARD_TRAIN_FILE": str(received / "train.csv"), "MODELWARD_OUTPUT_DIR": str(left)}
    models = []
    for more in ([], ["--seed=99", "--random_state=99", "--objective=regression", "--deterministic=false"]):
        run([sys.executable, program, "--rounds=5", "--bagging_fraction=0.5", "--bagging_freq=1", *more], **environment)
        models.append((left / "model.txt").read_text())
    assert models[0] == models[1]
    run([sys.executable, program, "--rounds=5", "--bagging_fraction=0.5", "--bagging_freq=1", "--bagging_seed=99"], **environment)
    assert (left / "model.txt").read_text() != models[0], "rows are drawn by a seed"
    there = Path("/dev/termination-log").exists()
    ended = subprocess.run([sys.executable, program, "rounds"], capture_output=True, text=True, env=os.environ | environment)
    assert ended.returncode == 1 and ended.stderr.endswith("ValueError: rounds is not a hyper-parameter; write --NAME=VALUE\n"), ended.stderr
    assert Path("/dev/termination-log").exists() == there
    for file in left.iterdir():
        file.unlink()


def main():
    trainer, repository, folder = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    samples = repository / "manifests/samples"
    source = samples / "heart-disease/cleveland.csv"
    for name in ("one", "nodes"):
        (folder / name).mkdir(parents=True)
    compare_lightgbm(trainer, repository, samples / "heart-custom.yaml", source, folder / "one")
    # The trainer reads the version alone, the last document of the sample.
    version = folder / "trainjob.yaml"
    version.write_text((samples / "heart-trainjob.yaml").read_text().split("\n---\n")[-1])
    received, left = prepare(trainer, version, source, folder / "nodes")
    check_example(repository, received, left)
    launch = load_launcher(repository)
    check_arguments(launch)
    check_upload(launch, left)
    check_launcher(repository, folder / "launcher")
    check_patience(launch, folder / "launcher")
    check_nodes(launch, received, left)
    measure(trainer, version, source, folder / "nodes")


if __name__ == "__main__":
    main()
