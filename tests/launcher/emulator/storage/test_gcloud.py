"""The real `gcloud storage`, unchanged, against the server."""

import os

import pytest

pytestmark = pytest.mark.gcloud


def test_a_day_with_gcloud(gcloud, tmp_path, client):
    big, small = tmp_path / "big", tmp_path / "small ü 😀.txt"
    big.write_bytes(os.urandom(100_000_000))  # above 8 MiB gcloud uploads resumably
    small.write_text("hello")
    gcloud("buckets", "create", "gs://gcloud-bucket", "--location=europe-west1")
    assert client.get_bucket("gcloud-bucket").location == "EUROPE-WEST1"
    gcloud("cp", str(big), str(small), "gs://gcloud-bucket/in/")
    listed = gcloud("ls", "-l", "gs://gcloud-bucket/**")
    assert "100000000" in listed
    assert "gs://gcloud-bucket/in/small ü 😀.txt" in listed
    assert gcloud("cat", "gs://gcloud-bucket/in/small ü 😀.txt") == "hello"
    gcloud("cp", "gs://gcloud-bucket/in/big", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == big.read_bytes()
    gcloud("mv", "gs://gcloud-bucket/in/big", "gs://gcloud-bucket/out/big")
    assert gcloud("ls", "gs://gcloud-bucket/").split() == [
        "gs://gcloud-bucket/in/",
        "gs://gcloud-bucket/out/",
    ]
    gcloud("rm", "--recursive", "gs://gcloud-bucket")
    assert not client.bucket("gcloud-bucket").exists()


def test_gcloud_reports_refusals_in_the_words_of_the_service(gcloud, tmp_path, bucket):
    file = tmp_path / "a"
    file.write_text("x")
    bucket.blob("a").upload_from_string("there")
    with pytest.raises(RuntimeError, match=r"HTTPError 412: At least one of the pre-conditions"):
        gcloud("cp", str(file), f"gs://{bucket.name}/a", "--if-generation-match=0")
    with pytest.raises(RuntimeError, match="gs://no-such-bucket not found: 404"):
        gcloud("cat", "gs://no-such-bucket/a")
