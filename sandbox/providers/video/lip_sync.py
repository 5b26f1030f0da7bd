"""Offline lip-sync: a mouth that opens as wide as the sound is loud, on a photo or on a video."""

import io
import itertools
from collections.abc import Iterator

import av
import numpy as np
from PIL import Image

from providers.media_type import detect_media_type
from providers.protocols import ErrorKind, ProviderError
from sandbox.providers.audio.codec import decode_audio, loudness
from sandbox.providers.image.landscape import add_watermark
from sandbox.providers.image.loading import crop_to_fill, open_image
from sandbox.providers.image.mouth_detection import Mouth, find_mouth
from sandbox.providers.scenery.noise import Array, smoothstep
from sandbox.providers.video.encoding import AUDIO_RATE, FPS, Planes, encode_mp4, to_planes

MAX_SIDE = 768
"""The longer side of the video, in pixels."""
_MAX_AUDIO_SECONDS = 60.0
"""Seconds of sound that are used."""
_MAX_FRAMES = 10 * FPS
"""Frames of a video that are used; a longer sound plays them back and forth."""

_MOUTH_POSITIONS = 16
"""How many ways a mouth is open; a photo needs no more drawings than that."""


def animate_face(face: bytes, sound: bytes) -> bytes:
    """An MP4 of the photo or video `face` that says `sound`.

    ProviderError (BAD_INPUT) where the one has no image or the other no sound.
    """
    samples = decode_audio(sound, AUDIO_RATE, _MAX_AUDIO_SECONDS)
    levels = loudness(samples, AUDIO_RATE, FPS)
    face_frames = _decode_face_frames(face)
    width, height = face_frames[0].size
    return encode_mp4(_render_frames(face_frames, levels), width, height, samples)


def validate_face(face: bytes) -> None:
    """Raise ProviderError (BAD_INPUT) where `animate_face` would find no image."""
    _decode_face_frames(face, most=1)


def _decode_face_frames(face: bytes, most: int = _MAX_FRAMES) -> list[Image.Image]:
    kind = detect_media_type(face)
    if not kind.startswith("video/"):
        return [_resize(open_image(face))]
    face_frames: list[Image.Image] = []
    try:
        with av.open(io.BytesIO(face), "r") as container:
            if not container.streams.video:
                raise ProviderError(ErrorKind.BAD_INPUT, "offline: a video without images")
            rate = float(container.streams.video[0].average_rate or FPS)
            for number, frame in enumerate(container.decode(video=0)):
                while len(face_frames) <= number * FPS / rate and len(face_frames) < most:
                    face_frames.append(_resize(Image.fromarray(frame.to_ndarray(format="rgb24"))))
                if len(face_frames) >= most:
                    break
    except (av.FFmpegError, ValueError) as error:
        raise ProviderError(ErrorKind.BAD_INPUT, f"offline: unreadable video ({type(error).__name__})") from error
    if not face_frames:
        raise ProviderError(ErrorKind.BAD_INPUT, "offline: a video without images")
    return face_frames


def _resize(image: Image.Image) -> Image.Image:
    scale = MAX_SIDE / max(image.size)
    width, height = (max(64, round(side * scale / 4) * 4) for side in image.size)
    return crop_to_fill(image.convert("RGB"), width, height)


def _render_frames(face_frames: list[Image.Image], levels: Array) -> Iterator[Planes]:
    mouth = find_mouth(face_frames[0])
    drawn: dict[int, Planes] = {}
    back_and_forth = itertools.cycle([*face_frames, *face_frames[-2:0:-1]])
    for level, face_frame in zip(levels, back_and_forth, strict=False):
        opened_by = round(float(level) * _MOUTH_POSITIONS)
        if len(face_frames) > 1 or opened_by not in drawn:
            frame = _open_mouth(face_frame, mouth, opened_by / _MOUTH_POSITIONS)
            add_watermark(frame)
            drawn[opened_by] = to_planes(frame)
        yield drawn[opened_by]


def _open_mouth(face_frame: Image.Image, mouth: Mouth, level: float) -> Image.Image:
    """Lips drawn apart, the jaw moved down, and the dark between them; all fading out into the face."""
    frame = face_frame.copy()
    wide = mouth.width
    left, right = int(mouth.x - wide), int(mouth.x + wide) + 1
    top, bottom = int(mouth.y - wide * 0.7), int(mouth.y + wide * 1.5)
    left, top = max(0, left), max(0, top)
    right, bottom = min(face_frame.width, right), min(face_frame.height, bottom)
    if level < 0.02 or right - left < 4 or bottom - top < 4:
        return frame
    part = np.asarray(face_frame.crop((left, top, right, bottom)), np.float32)
    across = (np.arange(left, right, dtype=np.float32)[None, :] - mouth.x) / (wide / 2)
    down = np.arange(top, bottom, dtype=np.float32)[:, None] - mouth.y
    gap = 0.46 * wide * level
    lips = np.sqrt(np.clip(1 - (across * (1.12 - 0.25 * level)) ** 2, 0, 1))
    jaw = np.exp(-((across / 1.05) ** 2)) * gap
    lower, upper = 0.72 * gap * lips, 0.28 * gap * lips
    below = np.clip((down - lower) / (1.25 * wide), 0, 1)
    moved = np.where(down > 0, -np.maximum(lower, 0.6 * jaw) * (1 - below) ** 1.5, 0)
    above = np.clip((-down - upper) / (0.6 * wide), 0, 1)
    moved = np.where(down < 0, upper * (1 - above) ** 1.5, moved)
    shifted = _shift_rows(part, moved)
    inside = np.clip(np.minimum(down + upper, lower - down) / 2.5 + 0.3, 0, 1) * (lips > 0)
    shifted += inside[..., None] * (_mouth_interior(down, upper, gap) - shifted)
    result = Image.fromarray(np.clip(shifted, 0, 255).astype(np.uint8))
    frame.paste(result, (left, top), Image.fromarray(_feathered_mask(part.shape[1], part.shape[0])))
    return frame


def _shift_rows(part: Array, moved: Array) -> Array:
    """Each pixel taken from `moved` rows further down."""
    height, width = part.shape[:2]
    source = np.clip(np.arange(height, dtype=np.float32)[:, None] + moved, 0, height - 1.001)
    row = source.astype(np.int32)
    share = (source - row)[..., None]
    columns = np.broadcast_to(np.arange(width)[None, :], (height, width))
    taken: Array = part[row, columns] * (1 - share) + part[row + 1, columns] * share
    return taken


def _mouth_interior(down: Array, upper: Array, gap: float) -> Array:
    """Upper teeth, and below them the dark."""
    dark, teeth = np.array([58, 18, 22], np.float32), np.array([226, 214, 204], np.float32)
    white = (1 - smoothstep(0.16, 0.3, (down + upper) / max(gap, 1)))[..., None] * min(1.0, gap / 12)
    return dark + white * (teeth - dark)


def _feathered_mask(width: int, height: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    across = np.minimum(np.arange(width), np.arange(width)[::-1]) / max(1, width * 0.22)
    down = np.minimum(np.arange(height), np.arange(height)[::-1]) / max(1, height * 0.16)
    soft = smoothstep(0, 1, across)[None, :] * smoothstep(0, 1, down)[:, None]
    return (soft * 255).astype(np.uint8)
