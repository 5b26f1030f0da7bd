"""Offline lip-sync: the mouth moves with the sound, and nothing else moves."""

import io

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.sound import encode_voice_note
from sandbox.providers.video import FPS, animate_face, find_mouth

MOUTH = (320, 480)


def portrait() -> Image.Image:
    image = Image.new("RGB", (640, 768), (60, 100, 140))
    pen = ImageDraw.Draw(image)
    pen.ellipse((190, 150, 450, 580), fill=(224, 172, 140))
    pen.ellipse((MOUTH[0] - 45, MOUTH[1] - 14, MOUTH[0] + 45, MOUTH[1] + 14), fill=(185, 80, 80))
    return image


def photo() -> bytes:
    file = io.BytesIO()
    portrait().save(file, "JPEG")
    return file.getvalue()


def sound() -> bytes:
    """Half a second of silence, then half a second of a tone."""
    tone = np.sin(np.arange(12_000) * 0.1).astype(np.float32) * 0.5
    return encode_voice_note(np.concatenate([np.zeros(12_000, np.float32), tone]), 24_000)


def decode(video: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.int16]]":
    with av.open(io.BytesIO(video), "r") as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames).astype(np.int16)


def test_find_mouth_locates_the_mouth() -> None:
    x, y, width = find_mouth(portrait())
    assert np.hypot(x - MOUTH[0], y - MOUTH[1]) < 25
    assert 60 < width < 160
    assert find_mouth(Image.new("RGB", (300, 500), (0, 0, 200)))[0] == pytest.approx(150, abs=2)


def test_animate_face_of_a_photo_moves_the_mouth_only_with_sound() -> None:
    frames = decode(animate_face(photo(), sound()))
    assert abs(len(frames) - FPS) <= 1
    silent, loud = frames[2], frames[FPS * 5 // 6]
    x, y = MOUTH
    around = np.s_[y - 40 : y + 60, x - 60 : x + 60]
    assert np.abs(loud[around] - silent[around]).mean() > 8
    assert np.abs(frames[FPS // 3][around] - silent[around]).mean() < 2
    assert np.abs(loud[:300] - silent[:300]).mean() < 1, "the rest of the image does not change"


def test_animate_face_of_a_video_is_as_long_as_the_sound() -> None:
    video = animate_face(photo(), sound())
    assert len(decode(animate_face(video, sound()))) == len(decode(video))


@pytest.mark.parametrize(("face", "audio"), [(b"no image", sound()), (photo(), b"no sound"), (photo(), photo())])
def test_animate_face_with_an_unusable_file_raises(face: bytes, audio: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        animate_face(face, audio)
    assert caught.value.kind is ErrorKind.BAD_INPUT
