"""A client of an exported flow behind TF Serving: the same questions by REST or by gRPC."""

from __future__ import annotations

import abc
import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["Client", "GrpcClient", "RestClient", "ServingError"]

MESSAGE_BYTES = (
    64 * 2**20
)  # largest gRPC message; the default of 4 MB holds some 1,000 latents of MNIST
TYPES = {
    "images": np.uint8,
    "latents": np.float32,
    "labels": np.int32,
    "num_samples": np.int32,
    "seed": np.int32,
    "temperature": np.float32,
    "log_prob": np.float32,
    "bits_per_dim": np.float32,
}


class ServingError(RuntimeError):
    """The server did not answer, or refused; the message is the server's."""


class Client(abc.ABC):
    """Asks a server; `RestClient` and `GrpcClient` say how.

    A class-conditional flow wants `labels`, int [n], everywhere, and none elsewhere. All methods raise
    `ServingError`.
    """

    @abc.abstractmethod
    def predict(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Ask one signature.

        Args:
          signature: its name.
          inputs: arrays by name, all that the signature takes.

        Returns:
          Its outputs by name, in their types; PNG files as an array of bytes.
        """

    def log_prob(self, images, labels=None) -> np.ndarray:
        """Nats of each image, float32 [n], of uint8 images [n, height, width, channels]."""
        return self.predict("log_prob", _given(images=images, labels=labels))["log_prob"]

    def bits_per_dim(self, images, labels=None) -> np.ndarray:
        """Bits per dimension of each image, float32 [n]."""
        return self.predict("log_prob", _given(images=images, labels=labels))["bits_per_dim"]

    def encode(self, images, labels=None) -> np.ndarray:
        """Latents of images, float32 of the images' shape."""
        return self.predict("encode", _given(images=images, labels=labels))["latents"]

    def decode(self, latents, labels=None) -> np.ndarray:
        """Images of latents, uint8 of the latents' shape."""
        return self.predict("decode", _given(latents=latents, labels=labels))["images"]

    def sample(
        self, num_samples: int | None = None, *, labels=None, seed=(0, 0), temperature: float = 1.0
    ) -> np.ndarray:
        """New images, uint8 [n, height, width, channels], all from one seed of two integers.

        Args:
          num_samples: how many; in a class-conditional flow there are as many as labels.
          labels: int [n], in a class-conditional flow.
          seed: two integers.
          temperature: above 0.
        """
        inputs = _given(num_samples=num_samples, labels=labels, seed=seed, temperature=temperature)
        return self.predict("sample", inputs)["images"]

    def sample_rows(self, seeds, temperatures, labels=None) -> np.ndarray:
        """New images, one for each row of seeds [n, 2] and temperatures [n]."""
        inputs = _given(seed=seeds, temperature=temperatures, labels=labels)
        return self.predict("sample_rows", inputs)["images"]


class RestClient(Client):
    """By REST and JSON: https://www.tensorflow.org/tfx/serving/api_rest.

    Args:
      model: its name on the server.
      url: of the server.
      version: one of the model's; None means the server's choice, the latest.
      timeout: seconds for an answer.

    Example:
      `RestClient("mnist_0_8").sample(10, seed=(1, 2), temperature=0.7)`
    """

    def __init__(
        self,
        model: str,
        *,
        url: str = "http://localhost:8501",
        version: int | None = None,
        timeout: float = 30.0,
    ):
        import requests  # noqa: PLC0415  (an extra)

        self._requests = requests
        self._session = requests.Session()
        self._url = f"{url.rstrip('/')}/v1/models/{model}"
        if version is not None:
            self._url += f"/versions/{version}"
        self._timeout = timeout

    def status(self) -> dict:
        """What the server says of the model's versions."""
        return self._ask("get", self._url)

    def predict(self, signature, inputs):
        """See `Client`."""
        body = {
            "signature_name": signature,
            "inputs": {name: _typed(name, value).tolist() for name, value in inputs.items()},
        }
        outputs = self._ask("post", f"{self._url}:predict", json=body)["outputs"]
        if not isinstance(outputs, dict):  # a single one comes without its name
            outputs = {_only_output(signature): outputs}
        return {name: _from_json(name, value) for name, value in outputs.items()}

    def _ask(self, method, url, **options):
        try:
            answer = self._session.request(method, url, timeout=self._timeout, **options)
            content = answer.json()
        except (self._requests.RequestException, ValueError) as error:
            raise ServingError(f"no answer from {url}: {error}") from error
        if not answer.ok:
            raise ServingError(content.get("error", str(content)))
        return content


class GrpcClient(Client):
    """By gRPC, which carries tensors as bytes and not as text.

    Args:
      model: its name on the server.
      address: of the server, HOST:PORT, without encryption.
      version: one of the model's; None means the server's choice, the latest.
      timeout: seconds for an answer.

    Raises:
      ModuleNotFoundError: the extra `serving` is not installed.

    Example:
      `GrpcClient("mnist_0_8").log_prob(images)`
    """

    def __init__(
        self,
        model: str,
        *,
        address: str = "localhost:8500",
        version: int | None = None,
        timeout: float = 30.0,
    ):
        import grpc  # noqa: PLC0415  (an extra)
        import tensorflow as tf  # noqa: PLC0415  (slow to import)
        from tensorflow_serving.apis import (  # noqa: PLC0415
            predict_pb2,
            prediction_service_pb2_grpc,
        )

        self._grpc, self._tf, self._predict_pb2 = grpc, tf, predict_pb2
        limits = ("grpc.max_receive_message_length", "grpc.max_send_message_length")
        channel = grpc.insecure_channel(
            address, options=[(limit, MESSAGE_BYTES) for limit in limits]
        )
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._model, self._version, self._timeout = model, version, timeout

    def predict(self, signature, inputs):
        """See `Client`."""
        request = self._predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = signature
        if self._version is not None:
            request.model_spec.version.value = self._version
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(self._tf.make_tensor_proto(_typed(name, value)))
        try:
            answer = self._stub.Predict(request, timeout=self._timeout)
        except self._grpc.RpcError as error:
            raise ServingError(error.details()) from error
        return {name: self._tf.make_ndarray(value) for name, value in answer.outputs.items()}


def _given(**inputs) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if value is not None}


def _typed(name: str, value) -> np.ndarray:
    return np.asarray(value, TYPES.get(name))


def _only_output(signature: str) -> str:
    if signature.endswith("_png"):
        return "images_bytes"
    return {"encode": "latents", "classify": "labels"}.get(signature, "images")


def _from_json(name: str, value) -> np.ndarray:
    if name.endswith("_bytes"):
        return np.array([base64.b64decode(item["b64"]) for item in value], object)
    return _typed(name, value)
