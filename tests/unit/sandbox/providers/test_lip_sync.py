"""Offline lip-sync: the mouth moves with the sound, and nothing else does."""

import io

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from providers.offline.audio.codec import encode_voice_note
from providers.offline.image.mouth_detection import find_mouth
from providers.offline.video.encoding import FPS
from providers.offline.video.lip_sync import animate_face
from providers.protocols import ErrorKind, ProviderError

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


def decoded(film: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.int16]]":
    with av.open(io.BytesIO(film), "r") as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames).astype(np.int16)


def test_the_mouth_is_found() -> None:
    mouth = find_mouth(portrait())
    assert np.hypot(mouth.x - MOUTH[0], mouth.y - MOUTH[1]) < 25
    assert 60 < mouth.width < 160
    assert find_mouth(Image.new("RGB", (300, 500), (0, 0, 200))).x == pytest.approx(150, abs=2)


def test_a_photo_talks_while_there_is_sound() -> None:
    frames = decoded(animate_face(photo(), sound()))
    assert abs(len(frames) - FPS) <= 1
    silent, loud = frames[2], frames[FPS * 5 // 6]
    x, y = MOUTH
    around = np.s_[y - 40 : y + 60, x - 60 : x + 60]
    assert np.abs(loud[around] - silent[around]).mean() > 8
    assert np.abs(frames[FPS // 3][around] - silent[around]).mean() < 2
    assert np.abs(loud[:300] - silent[:300]).mean() < 1, "the rest of the picture stays"


def test_a_video_talks_as_long_as_the_sound() -> None:
    film = animate_face(photo(), sound())
    assert len(decoded(animate_face(film, sound()))) == len(decoded(film))


@pytest.mark.parametrize(("face", "voice"), [(b"no picture", sound()), (photo(), b"no sound"), (photo(), photo())])
def test_what_cannot_be_used(face: bytes, voice: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        animate_face(face, voice)
    assert caught.value.kind is ErrorKind.BAD_INPUT
