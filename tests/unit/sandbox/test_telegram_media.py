"""Types, sizes and durations are read from the content of files."""

import io

import av
import numpy as np
import pytest
from PIL import Image

from sandbox.telegram.state.media_info import read_media_info


def _image(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (96, 54), "teal").save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "mime_type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("GIF", "image/gif"), ("WEBP", "image/webp")],
)
def test_image_type_and_size(kind: str, mime_type: str) -> None:
    info = read_media_info(_image(kind), "wrong.txt")
    assert (info.mime_type, info.width, info.height) == (mime_type, 96, 54)


def test_video_type_size_and_duration() -> None:
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(20):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), dtype=np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode())
    info = read_media_info(stream.getvalue(), "video")
    assert (info.mime_type, info.width, info.height, info.duration) == ("video/mp4", 64, 48, 2)


def test_voice_message_duration() -> None:
    stream = io.BytesIO()
    with av.open(stream, "w", format="ogg") as container:
        sound = container.add_stream("libopus", rate=48_000)
        for number in range(150):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), dtype=np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48_000, number * 960
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    info = read_media_info(stream.getvalue(), "v.oga")
    assert (info.mime_type, info.duration) == ("audio/ogg", 3)


def test_unknown_content_falls_back_to_declared_type_and_name() -> None:
    assert read_media_info(b"....", "v.webm", "audio/webm;codecs=opus").mime_type == "audio/webm"
    assert read_media_info(b"....", "report.pdf", "application/octet-stream").mime_type == "application/pdf"
    assert read_media_info(b"", "x").mime_type == "application/octet-stream"


@pytest.mark.parametrize(
    "head", [b"\x89PNG\r\n", b"GIF8", b"RIFF", b"OggS", b"ID3", b"\xff\xd8\xff", b"\0\0\0\0ftyp"]
)
def test_truncated_file_has_no_size_and_at_most_the_shortest_duration(head: bytes) -> None:
    info = read_media_info(head, "x")
    assert (info.width, info.height) == (0, 0)
    assert info.duration <= 1
