"""Offline lip-sync: a mouth that opens as wide as the sound is loud, on a photo or on a video."""

import itertools
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from providers.media_type import detect_media_type
from sandbox.providers.audio import AudioSamples, decode_audio, open_media
from sandbox.providers.images.drawing import Array
from sandbox.providers.images.files import add_watermark, open_image
from sandbox.providers.video import AUDIO_RATE, FPS, encode_mp4

MAX_SIDE = 768
"""The longer side of the video, in pixels."""
_MAX_FRAMES = 10 * FPS
"""Frames of a video that are used; a longer sound plays them back and forth."""
_MOUTH_POSITIONS = 12
"""How many ways a mouth is open; a photo needs no more drawings than that."""
_FACE_ASPECT_RATIO = 1.3
"""A face is so much taller than wide."""


def animate_face(face: bytes, sound: bytes) -> bytes:
    """An MP4 of the photo or video `face` that says `sound`; ProviderError (BAD_INPUT) where it cannot be read."""
    samples, frames = decode_audio(sound, AUDIO_RATE, max_seconds=60), decode_face(face)
    return encode_mp4(_render(frames, loudness(samples, AUDIO_RATE, FPS)), frames[0].size, samples)


def decode_face(face: bytes, most: int = _MAX_FRAMES) -> list[Image.Image]:
    """The images of a photo or video, as large as they are used; ProviderError (BAD_INPUT) where there are none."""
    if not detect_media_type(face).startswith("video/"):
        return [_resize(open_image(face))]
    frames: list[Image.Image] = []
    with open_media(face, "video") as container:
        for frame in container.decode(video=0):
            missing = int((frame.time or 0) * FPS) + 1 - len(frames)
            frames += (
                [_resize(Image.fromarray(frame.to_ndarray(format="rgb24")))] * min(missing, most - len(frames))
                if missing > 0
                else []
            )
            if len(frames) >= most:
                break
    return frames


def loudness(sound: AudioSamples, rate: int, fps: float) -> Array:
    """How loud each frame of a video is, 0 to 1, rising fast and falling slowly as a mouth does."""
    size = round(rate / fps)
    loud = np.sqrt((np.pad(sound, (0, -len(sound) % size)).reshape(-1, size) ** 2).mean(axis=1))
    level = np.clip((loud / max(float(np.percentile(loud, 95)), 1e-4) - 0.12) / 0.88, 0, 1)
    return np.array(list(itertools.accumulate(level, lambda before, now: max(now, before * 0.6))))


def _resize(image: Image.Image) -> Image.Image:
    width, height = (max(64, round(side * MAX_SIDE / max(image.size) / 4) * 4) for side in image.size)
    return ImageOps.fit(image, (width, height))


def _render(faces: list[Image.Image], levels: Array) -> Iterator[Image.Image]:
    mouth, drawn = find_mouth(faces[0]), dict[int, Image.Image]()
    for level, face in zip(levels, itertools.cycle([*faces, *faces[-2:0:-1]]), strict=False):
        position = round(float(level) * _MOUTH_POSITIONS)
        if len(faces) > 1 or position not in drawn:
            drawn[position] = add_watermark(_open_mouth(face.copy(), *mouth, position / _MOUTH_POSITIONS))
        yield drawn[position]


def _open_mouth(face: Image.Image, x: float, y: float, width: float, level: float) -> Image.Image:
    """The jaw moved down, fading out into the face, and the dark between the lips with the upper teeth."""
    gap, half, high = 0.42 * width * level, 0.42 * width, 1.3 * width
    if gap >= 1:
        place, size = (round(x - width), round(y)), (round(2 * width), round(high))
        left, right, low = x - width, x + width, y + high
        corners = (left, y - gap, left, low, right, low, right, y - gap)
        jaw = face.transform(size, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
        face.paste(jaw, place, _oval(size, (0.4 * width, -0.7 * high, 1.6 * width, 0.8 * high), width * 0.1))
        inside = Image.new("RGB", size, (58, 18, 22))
        inside.paste((226, 214, 204), (0, 0, size[0], round(gap * 0.3)))
        face.paste(inside, place, _oval(size, (width - half, -gap * 0.15, width + half, gap), 1.2))
    return face


def _oval(size: tuple[int, int], box: tuple[float, float, float, float], blur: float) -> Image.Image:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse(box, 255)
    return mask.filter(ImageFilter.GaussianBlur(blur))


def find_mouth(image: Image.Image) -> tuple[float, float, float]:
    """The likely middle and width of the mouth, in pixels; where no face is seen, where a portrait has it.

    The face is the upright box that is fullest of the colour of skin, against what is around it.
    """
    small = ImageOps.contain(image, (160, 160))
    blue, red = (np.asarray(part, np.int16) for part in small.convert("YCbCr").split()[1:])
    skin = Image.fromarray(((blue > 77) & (blue < 128) & (red > 135) & (red < 175)).astype(np.uint8) * 255)
    short = min(small.width, small.height / _FACE_ASPECT_RATIO)
    faces = [(0.15, small.width / 2, small.height * 0.42, short * 0.5)]
    for part in (0.22, 0.28, 0.35, 0.43, 0.52, 0.62, 0.75):
        half = np.array([1, _FACE_ASPECT_RATIO]) * short * part / 2
        inside, around = (np.asarray(skin.filter(ImageFilter.BoxBlur(tuple(half * by))), int) for by in (1, 1.4))
        score = (2 * inside - around) / 255 * (0.5 + part)
        row, column = np.unravel_index(int(score.argmax()), score.shape)
        faces.append((float(score[row, column]), float(column), float(row), short * part))
    _, x, y, width = max(faces)
    x, y = _find_lips(small, x, y + width * 0.35, width)
    scale = image.width / small.width
    return x * scale, y * scale, width * 0.38 * scale


def _find_lips(image: Image.Image, x: float, y: float, width: float) -> tuple[float, float]:
    """The middle of what is redder than the skin near the place; the place where nothing is."""
    left, top = max(0, int(x - width * 0.45)), max(0, int(y - width * 0.4))
    near = np.asarray(image.crop((left, top, int(x + width * 0.45), int(y + width * 0.3))), np.float32)
    redness = (near[..., 0] - near[..., 1]) / (near.sum(axis=2) + 30)
    red = np.clip(redness - np.percentile(redness, 90) - 0.02, 0, None)
    if red.mean() < 0.001:
        return x, y
    rows, columns = np.indices(red.shape)
    return left + float((columns * red).sum() / red.sum()), top + float((rows * red).sum() / red.sum())
