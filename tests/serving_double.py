"""A loopback server that answers by TF Serving's documented rules, through TensorFlow's C++ loader.

REST: https://www.tensorflow.org/tfx/serving/api_rest. gRPC: tensorflow_serving/apis. The rules are those of the
documents; the server itself is not here.
"""

import base64
import contextlib
import json
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2


class Session:
    """A SavedModel in a session of TensorFlow's C++ loader."""

    def __init__(self, folder):
        self.folder = folder
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        self._calls = {}
        with graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        self.signatures = dict(loaded.signature_def)

    def run(self, signature, inputs):
        """Outputs by name; inputs that are left out are the signature's defaults."""
        found = self.signatures[signature]
        inputs = {
            **{name: tf.make_ndarray(value) for name, value in found.defaults.items()},
            **inputs,
        }
        if inputs.keys() != found.inputs.keys():
            raise ValueError(
                f"expected the inputs {sorted(found.inputs)}, received {sorted(inputs)}."
            )
        if signature not in self._calls:
            # session.run would look at shapes and change types first, which no server does
            options = config_pb2.CallableOptions(
                feed=[info.name for info in found.inputs.values()],
                fetch=[info.name for info in found.outputs.values()],
            )
            self._calls[signature] = self._session._make_callable_from_options(options)
        values = self._calls[signature](*(np.asarray(inputs[name]) for name in found.inputs))
        return dict(zip(found.outputs, values, strict=True))

    def close(self):
        """Free its memory."""
        self._calls.clear()
        self._session.close()


def from_json(body, session):
    """(signature, inputs, whether in rows) of a request."""
    signature = body.get("signature_name", "serving_default")
    if signature not in session.signatures:
        raise ValueError(f"Serving signature name: {signature!r} not found in signature def")
    infos = session.signatures[signature].inputs
    in_rows = "instances" in body
    if in_rows:
        rows = body["instances"]
        if not rows:
            raise ValueError("no instances")
        named = isinstance(rows[0], dict) and set(rows[0]) != {"b64"}
        names = rows[0] if named else infos
        columns = {name: [row[name] if named else row for row in rows] for name in names}
    else:
        columns = body["inputs"]
        if not isinstance(columns, dict) or set(columns) == {"b64"}:
            columns = {next(iter(infos)): columns}
    inputs = {}
    for name, value in columns.items():
        if name not in infos:
            raise ValueError(f"no input {name!r} in signature {signature!r}")
        kind = tf.dtypes.as_dtype(infos[name].dtype).as_numpy_dtype
        inputs[name] = np.array(value, kind)
    return signature, inputs, in_rows


def to_json(outputs, in_rows):
    """The body of an answer."""

    def plain(name, value):
        if name.endswith("_bytes"):
            return [{"b64": base64.b64encode(item).decode()} for item in value]
        return value.tolist()

    columns = {name: plain(name, value) for name, value in sorted(outputs.items())}
    single = next(iter(columns.values())) if len(columns) == 1 else None
    if not in_rows:
        return {"outputs": columns if single is None else single}
    if single is not None:
        return {"predictions": single}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


@contextlib.contextmanager
def rest_server(session, model, port=0):
    """Serve a model by REST; yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK"}}
            self._answer(200, {"model_version_status": [status]})

        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != f"/v1/models/{model}:predict":
                return self._answer(404, {"error": f"Servable not found for request: {self.path}"})
            try:
                signature, inputs, in_rows = from_json(json.loads(content), session)
                self._answer(200, to_json(session.run(signature, inputs), in_rows))
            except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
                self._answer(400, {"error": getattr(error, "message", str(error))})

        def _answer(self, status, content):
            text = json.dumps(content, allow_nan=False).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments):
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def grpc_server(session, model, port=0):
    """Serve a model by gRPC; yields the address."""
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802  (gRPC's name)
            if request.model_spec.name != model:
                context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request")
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            try:
                outputs = session.run(request.model_spec.signature_name, inputs)
            except (ValueError, KeyError, tf.errors.OpError) as error:
                message = getattr(error, "message", str(error))
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
            answer = predict_pb2.PredictResponse()
            for name, value in outputs.items():
                answer.outputs[name].CopyFrom(tf.make_tensor_proto(value))
            return answer

    server = grpc.server(futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)
