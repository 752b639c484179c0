"""Clients of an exported flow on TF Serving: the same methods by REST and by gRPC."""

from __future__ import annotations

import abc
import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["Client", "GrpcClient", "RestClient", "ServingError"]

# The largest gRPC message. gRPC's default of 4 MB holds the latents of some 1,000 images of MNIST.
MESSAGE_BYTES = 64 * 2**20
TYPES = {
    "images": np.uint8,
    "latents": np.float32,
    "labels": np.int32,
    "mask": np.bool_,
    "context": np.float32,
    "num_samples": np.int32,
    "seed": np.int32,
    "temperature": np.float32,
    "log_prob": np.float32,
    "bits_per_dim": np.float32,
}


class ServingError(RuntimeError):
    """The server did not answer, or it refused and the message is its own."""


class Client(abc.ABC):
    """What a server can be asked, whatever the protocol: see `RestClient` and `GrpcClient`.

    Every method takes `labels`, int [n], which a class-conditional flow needs, and `context`, float [n, ...],
    which a flow with a context needs; other flows refuse them. Every method raises `ServingError` if the server
    does not answer or refuses.
    """

    @abc.abstractmethod
    def predict(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Call one signature of the model.

        Args:
          signature: its name.
          inputs: an array for each input of the signature, by name.

        Returns:
          An array for each output, by name; PNG files are an array of bytes objects.
        """

    def log_prob(self, images, labels=None, *, context=None) -> np.ndarray:
        """Log-likelihoods in nats, float32 [n], of uint8 images [n, height, width, channels]."""
        inputs = _without_none(images=images, labels=labels, context=context)
        return self.predict("log_prob", inputs)["log_prob"]

    def bits_per_dim(self, images, labels=None, *, context=None) -> np.ndarray:
        """Bits per dimension, float32 [n], of uint8 images [n, height, width, channels]."""
        inputs = _without_none(images=images, labels=labels, context=context)
        return self.predict("log_prob", inputs)["bits_per_dim"]

    def encode(self, images, labels=None, *, context=None) -> np.ndarray:
        """Latents of images, float32 of the same shape."""
        inputs = _without_none(images=images, labels=labels, context=context)
        return self.predict("encode", inputs)["latents"]

    def decode(self, latents, labels=None, *, context=None) -> np.ndarray:
        """Images of latents, uint8 of the same shape."""
        inputs = _without_none(latents=latents, labels=labels, context=context)
        return self.predict("decode", inputs)["images"]

    def sample(
        self,
        num_samples: int | None = None,
        *,
        labels=None,
        context=None,
        seed=(0, 0),
        temperature: float = 1.0,
    ) -> np.ndarray:
        """Draw images, uint8 [n, height, width, channels], all from one seed.

        Args:
          num_samples: how many; left out for a flow with labels or a context, which draws one image for each of
            them.
          labels: int [n], for a class-conditional flow.
          context: float [n, ...], for a flow with a context.
          seed: two integers; the same seed gives the same images.
          temperature: scale of the latents, above 0; below 1 images are more typical and less varied.
        """
        inputs = _without_none(
            num_samples=num_samples,
            labels=labels,
            context=context,
            seed=seed,
            temperature=temperature,
        )
        return self.predict("sample", inputs)["images"]

    def sample_rows(self, seeds, temperatures, labels=None, *, context=None) -> np.ndarray:
        """Draw an image for each row of `seeds`, int [n, 2], and `temperatures`, float [n]."""
        inputs = _without_none(seed=seeds, temperature=temperatures, labels=labels, context=context)
        return self.predict("sample_rows", inputs)["images"]

    def fill(self, images, mask, seeds, temperatures, labels=None) -> np.ndarray:
        """Draw what is missing of images, with a model of `train --fill`.

        Args:
          images: uint8 [n, height, width, channels]; what is missing may have any value.
          mask: bool [n, height, width, 1], True where an image is observed.
          seeds: int [n, 2].
          temperatures: float [n].
          labels: int [n], for a class-conditional flow.

        Returns:
          uint8 [n, height, width, channels].
        """
        inputs = _without_none(
            images=images, mask=mask, seed=seeds, temperature=temperatures, labels=labels
        )
        return self.predict("fill", inputs)["images"]


class RestClient(Client):
    """A client by REST, with JSON: https://www.tensorflow.org/tfx/serving/api_rest.

    Args:
      model: the name of the model on the server.
      url: the address of the server.
      version: which version of the model; None leaves the choice to the server, which takes the latest.
      timeout: how many seconds to wait for an answer.

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
        """The state of the model's versions, as the server reports it."""
        return self._ask("get", self._url)

    def predict(self, signature, inputs):
        """See `Client`."""
        body = {
            "signature_name": signature,
            "inputs": {name: _as_array(name, value).tolist() for name, value in inputs.items()},
        }
        outputs = self._ask("post", f"{self._url}:predict", json=body)["outputs"]
        if not isinstance(outputs, dict):  # REST leaves out the name of a single output
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
    """A client by gRPC, which is faster for many images: it sends tensors as bytes, not as text.

    Args:
      model: the name of the model on the server.
      address: HOST:PORT of the server. The connection is not encrypted.
      version: which version of the model; None leaves the choice to the server, which takes the latest.
      timeout: how many seconds to wait for an answer.

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
            request.inputs[name].CopyFrom(self._tf.make_tensor_proto(_as_array(name, value)))
        try:
            answer = self._stub.Predict(request, timeout=self._timeout)
        except self._grpc.RpcError as error:
            raise ServingError(error.details()) from error
        return {name: self._tf.make_ndarray(value) for name, value in answer.outputs.items()}


def _without_none(**inputs) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if value is not None}


def _as_array(name: str, value) -> np.ndarray:
    return np.asarray(value, TYPES.get(name))


def _only_output(signature: str) -> str:
    if signature.endswith("_png"):
        return "images_bytes"
    return {"encode": "latents", "classify": "labels"}.get(signature, "images")


def _from_json(name: str, value) -> np.ndarray:
    if name.endswith("_bytes"):
        return np.array([base64.b64decode(item["b64"]) for item in value], object)
    return _as_array(name, value)
