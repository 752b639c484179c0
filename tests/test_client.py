import numpy as np
import pytest
import tensorflow as tf
from conftest import FLOWS, perturb, random_images
from serving_double import Session, grpc_server, rest_server

from tfp_realnvp.client import GrpcClient, RestClient, ServingError
from tfp_realnvp.serving import export

pytestmark = pytest.mark.slow

IMAGES = random_images(5, (4, 4, 1), levels=17)


@pytest.fixture(scope="module", params=[(), (3, 5)], ids=["plain", "conditional"])
def flow(request):
    flow = FLOWS["realnvp"](levels=17, labels=request.param)
    flow.adapt(random_images(1000, (4, 4, 1), levels=17))
    return perturb(flow)


@pytest.fixture(scope="module")
def session(flow, tmp_path_factory):
    session = Session(export(flow, tmp_path_factory.mktemp("saved_models") / "small"))
    yield session
    session.close()


@pytest.fixture(scope="module", params=[RestClient, GrpcClient])
def client(request, session):
    if request.param is RestClient:
        with rest_server(session, "small") as url:
            yield RestClient("small", url=url)
    else:
        with grpc_server(session, "small") as address:
            yield GrpcClient("small", address=address)


def test_every_answer_is_the_flow_s(flow, client):
    labels = np.array([3, 5, 5, 3, 3]) if flow.labels else None
    log_probs = client.log_prob(IMAGES, labels)
    assert log_probs.dtype == np.float32
    np.testing.assert_allclose(log_probs, flow.log_prob(IMAGES, labels), rtol=1e-5)
    bits = client.bits_per_dim(IMAGES, labels)
    np.testing.assert_allclose(bits, flow.bits_per_dim(IMAGES, labels), rtol=1e-5)
    latents = client.encode(IMAGES, labels)
    assert latents.dtype == np.float32
    np.testing.assert_allclose(latents, flow.encode(IMAGES, labels), rtol=1e-4, atol=1e-5)
    images = client.decode(latents, labels)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, IMAGES)
    number = None if flow.labels else 5
    drawn = client.sample(number, labels=labels, seed=(1, 2), temperature=0.5)
    expected = flow.sample(5, labels, seed=[1, 2], temperature=0.5)
    np.testing.assert_array_equal(drawn, expected)
    label = None if labels is None else labels[:1]
    rows = client.sample_rows([[1, 2]], [0.5], label)
    np.testing.assert_array_equal(rows, flow.sample(1, label, seed=[1, 2], temperature=0.5))


def test_files_come_as_bytes(flow, client):
    if flow.labels:
        inputs = {"labels": [3, 5], "seed": [1, 2], "temperature": 1}
    else:
        inputs = {"num_samples": 2, "seed": [1, 2], "temperature": 1}
    files = client.predict("sample_png", inputs)["images_bytes"]
    images = client.predict("sample", inputs)["images"]
    for file, image in zip(files, images, strict=True):
        picture = tf.io.decode_png(file).numpy()
        np.testing.assert_array_equal(picture, np.round(image * (255 / 16)))


def test_refusals_are_the_server_s_words(flow, client):
    wrong = np.full_like(IMAGES, 200)
    labels = [3] * len(wrong) if flow.labels else None
    with pytest.raises(ServingError, match=r"`images` must be in \[0, 16\]"):
        client.log_prob(wrong, labels)
    with pytest.raises(ServingError, match="nothing"):
        client.predict("nothing", {})


def test_no_server():
    with pytest.raises(ServingError, match=r"no answer from http://127.0.0.1:9"):
        RestClient("small", url="http://127.0.0.1:9").log_prob(IMAGES)
    with pytest.raises(ServingError, match="connect"):
        GrpcClient("small", address="127.0.0.1:9", timeout=5).log_prob(IMAGES)


def test_a_model_that_is_not_there(session):
    with rest_server(session, "small") as url:
        status = RestClient("small", url=url).status()
        assert status["model_version_status"][0]["state"] == "AVAILABLE"
        with pytest.raises(ServingError, match="not found"):
            RestClient("large", url=url, version=3).log_prob(IMAGES)
    with (
        grpc_server(session, "small") as address,
        pytest.raises(ServingError, match="not found"),
    ):
        GrpcClient("large", address=address, version=3).log_prob(IMAGES)
