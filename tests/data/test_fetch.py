import contextlib
import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import idx_files
import pytest
import torch

from saelab.data import MNIST, fetch

NAMES = list(idx_files.small_mnist())


class Mirror:
    """A local server of files; `faults` maps a path to what its next answers do wrong."""

    def __init__(self):
        self.files = {f"/{n}.gz": gzip.compress(idx_files.packed_idx(a)) for n, a in idx_files.small_mnist().items()}
        self.faults: dict[str, list[str]] = {}
        self.asked: list[str] = []


@contextlib.contextmanager
def serving(mirror):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            mirror.asked.append(self.path)
            fault = (mirror.faults.get(self.path) or [""]).pop(0)
            content = mirror.files.get(self.path, b"")
            if fault == "404" or not content:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def mirror(monkeypatch):
    idx_files.accept_small_files(monkeypatch)
    return Mirror()


def dead() -> str:
    """The address of a server that is not there."""
    with serving(Mirror()) as url:
        return url


def test_download_then_no_second_download(mirror, tmp_path):
    with serving(mirror) as url:
        source = MNIST(origin="download", dir=str(tmp_path / "new"), mirrors=[url])
        assert mirror.asked == []
        source.prepare_data()
        assert sorted(mirror.asked) == sorted(f"/{name}.gz" for name in NAMES)
        source.prepare_data()
        assert len(mirror.asked) == 4
    assert source.size("test") == 20
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(f"{name}.gz" for name in NAMES)
    assert torch.equal(MNIST(dir=str(tmp_path / "new")).batch("test", torch.arange(3)).y, torch.arange(3))


def test_only_missing_files_are_fetched(mirror, tmp_path):
    idx_files.write(tmp_path / "MNIST" / "raw", gz=False)
    (tmp_path / "MNIST" / "raw" / NAMES[2]).unlink()
    with serving(mirror) as url:
        fetch.fetch_missing(tmp_path, [url])
    assert mirror.asked == [f"/{NAMES[2]}.gz"]


def test_the_second_mirror_serves_when_the_first_is_down(mirror, tmp_path):
    with serving(mirror) as url:
        fetch.fetch_missing(tmp_path, [dead(), url])
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("fault", ["404", "cut"])
def test_one_failure_is_tried_again(mirror, tmp_path, fault):
    path = f"/{NAMES[0]}.gz"
    mirror.faults[path] = [fault]
    with serving(mirror) as url:
        fetch.fetch_missing(tmp_path, [url])
    assert mirror.asked.count(path) == 2
    assert len(list(tmp_path.iterdir())) == 4


def test_all_down_is_one_line_that_names_the_other_origins(tmp_path):
    first, second = dead(), dead()
    with pytest.raises(ConnectionError) as error:
        MNIST(origin="download", dir=str(tmp_path), mirrors=[first, second]).prepare_data()
    text = str(error.value)
    assert "\n" not in text
    for part in ("train-images-idx3-ubyte", first, second, "origin=bundled", "origin=local"):
        assert part in text
    assert list(tmp_path.iterdir()) == []


def test_another_file_under_the_name_is_refused_and_leaves_nothing(mirror, tmp_path):
    mirror.files[f"/{NAMES[1]}.gz"] = gzip.compress(b"something else")
    with serving(mirror) as url, pytest.raises(ConnectionError, match=f"is not MNIST's {NAMES[1]}: SHA-256"):
        fetch.fetch_missing(tmp_path, [url])
    assert mirror.asked.count(f"/{NAMES[1]}.gz") == 2
    assert [p.name for p in tmp_path.iterdir()] == [f"{NAMES[0]}.gz"]


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full_disk(_):
        raise OSError("no space left")

    monkeypatch.setattr(fetch.os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        fetch._write_atomically(tmp_path / "f.gz", b"content")
    assert list(tmp_path.iterdir()) == []
