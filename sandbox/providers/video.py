"""Offline videos: a camera that moves over an image or from one into another, and a mouth that moves with sound."""

import itertools
import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from providers.media_type import detect_media_type
from sandbox.providers.images.drawing import Array
from sandbox.providers.images.files import add_watermark, open_image
from sandbox.providers.images.landscape import paint
from sandbox.providers.sound import AudioSamples, decode_audio, open_media, to_frame

FPS = 15
"""Few, so that a sandbox on two cores makes five seconds of 720p in about one of its own."""
AUDIO_RATE = 44_100
_MARGIN = 1.22  # how much larger than the frame the image is, for the camera to move in
_Size = tuple[int, int]
MAX_LIP_SYNC_SIDE = 768
"""The longer side of a lip-sync, in pixels."""
_MOUTH_POSITIONS = 12  # how many ways a mouth is open; a photo needs no more drawings than that


def render_video(prompt: str, seed: int, size: _Size, seconds: float, images: Iterable[Image.Image] = ()) -> bytes:
    """An MP4 of one image, of a first and a last one, or of the prompt; `seed` chooses how the camera moves.

    `size` is width and height in pixels, multiples of 4. Of `seconds`, 10 at most are made.
    """
    large = (round(size[0] * _MARGIN), round(size[1] * _MARGIN))
    shown = [ImageOps.fit(image, large) for image in images] or [paint(prompt, seed, *large)]
    return encode_mp4(_move_camera(shown, seed, size, max(1, round(min(seconds, 10) * FPS))), size)


def _move_camera(images: list[Image.Image], seed: int, size: _Size, count: int) -> Iterator[av.VideoFrame]:
    """A slow, eased pan and zoom, while the first image fades into the last one."""
    rng = np.random.default_rng(seed & 0xFFFFFFFF)
    turn, is_inward = rng.uniform(0, 2 * math.pi), rng.random() < 0.6
    room = np.array([math.cos(turn), math.sin(turn)]) * 0.45
    for part in np.linspace(0, 1, count):
        eased = float(part * part * (3 - 2 * part))
        view = np.array(size) * (1.12 - 0.16 * (eased if is_inward else 1 - eased))
        start = (np.array(images[0].size) - view) * (0.5 + room * (2 * eased - 1))
        image = Image.blend(images[0], images[-1], eased) if len(images) > 1 else images[0]
        yield to_video_frame(image.resize(size, Image.Resampling.BILINEAR, (*start, *(start + view))))


def to_video_frame(image: Image.Image) -> av.VideoFrame:
    """An RGB image with the watermark, which is drawn on it, as H.264 keeps it."""
    return av.VideoFrame.from_ndarray(np.asarray(add_watermark(image)), "rgb24").reformat(format="yuv420p")


def encode_mp4(frames: Iterable[av.VideoFrame], size: _Size, sound: AudioSamples | None = None) -> bytes:
    """An MP4 that plays in a browser and in Telegram: H.264, yuv420p, index first, sound as AAC.

    `frames` have this size (multiples of 4 pixels), FPS per second, and may be repeated; the sound has AUDIO_RATE.
    """
    with tempfile.TemporaryDirectory(prefix="video-") as folder:  # the index can only be moved in a real file
        path = Path(folder) / "video.mp4"
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            video = container.add_stream("libx264", rate=FPS)
            (video.width, video.height), video.pix_fmt = size, "yuv420p"
            video.options = {"preset": "ultrafast", "crf": "26", "threads": "2"}
            voice = container.add_stream("aac", rate=AUDIO_RATE, layout="mono") if sound is not None else None
            for number, frame in enumerate(frames):
                frame.pts = number
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
            if voice is not None and sound is not None:
                container.mux([*voice.encode(to_frame(sound, AUDIO_RATE)), *voice.encode(None)])
        return path.read_bytes()


def animate_face(face: bytes, sound: bytes) -> bytes:
    """An MP4 of the photo or video `face` that says `sound`; ProviderError (BAD_INPUT) where it cannot be read."""
    samples, frames = decode_audio(sound, AUDIO_RATE, max_seconds=60), decode_face(face)
    return encode_mp4(_render(frames, loudness(samples, AUDIO_RATE, FPS)), frames[0].size, samples)


def decode_face(face: bytes, most: int = 10 * FPS) -> list[Image.Image]:
    """The images of a photo or video, as large as they are used; ProviderError (BAD_INPUT) where there are none."""
    if not detect_media_type(face).startswith("video/"):
        return [_resize(open_image(face))]
    frames: list[Image.Image] = []
    with open_media(face, "video") as container:
        for frame in container.decode(video=0):
            while len(frames) <= (frame.time or 0) * FPS and len(frames) < most:
                frames.append(_resize(Image.fromarray(frame.to_ndarray(format="rgb24"))))
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
    width, height = (max(64, round(side * MAX_LIP_SYNC_SIDE / max(image.size) / 4) * 4) for side in image.size)
    return ImageOps.fit(image, (width, height))


def _render(faces: list[Image.Image], levels: Array) -> Iterator[av.VideoFrame]:
    mouth, drawn = find_mouth(faces[0]), dict[int, av.VideoFrame]()
    for level, face in zip(levels, itertools.cycle([*faces, *faces[-2:0:-1]]), strict=False):
        position = round(float(level) * _MOUTH_POSITIONS)
        if len(faces) > 1 or position not in drawn:
            drawn[position] = to_video_frame(_open_mouth(face.copy(), *mouth, position / _MOUTH_POSITIONS))
        yield drawn[position]


def _open_mouth(face: Image.Image, x: float, y: float, width: float, level: float) -> Image.Image:
    """The jaw moved down, fading out into the face, and the dark between the lips with the upper teeth."""
    gap, half, high = 0.42 * width * level, 0.42 * width, 1.3 * width
    if gap >= 1:
        place, size = (round(x - width), round(y)), (round(2 * width), round(high))
        corners = (x - width, y - gap, x - width, y + high, x + width, y + high, x + width, y - gap)
        jaw = face.transform(size, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
        face.paste(jaw, place, _oval(size, (0.4 * width, -0.7 * high, 1.6 * width, 0.8 * high), width * 0.1))
        inside = Image.new("RGB", size, (58, 18, 22))
        inside.paste((226, 214, 204), (0, 0, size[0], round(gap * 0.3)))
        face.paste(inside, place, _oval(size, (width - half, -gap * 0.15, width + half, gap), 1.2))
    return face


def _oval(size: _Size, box: tuple[float, float, float, float], blur: float) -> Image.Image:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse(box, 255)
    return mask.filter(ImageFilter.GaussianBlur(blur))


def find_mouth(image: Image.Image) -> tuple[float, float, float]:
    """The middle and the width of the mouth, in pixels: what is reddest in the box fullest of the colour of skin."""
    small = ImageOps.contain(image, (160, 160))
    blue, red = (np.asarray(part, np.int16) for part in small.convert("YCbCr").split()[1:])
    skin = Image.fromarray(((blue > 77) & (blue < 128) & (red > 135) & (red < 175)).astype(np.uint8) * 255)
    short = min(small.width, small.height / 1.3)
    faces = [(0.15, small.width / 2, small.height * 0.42, short * 0.5)]
    for part in (0.22, 0.28, 0.35, 0.43, 0.52, 0.62, 0.75):
        half = np.array([1, 1.3]) * short * part / 2
        inside, around = (np.asarray(skin.filter(ImageFilter.BoxBlur(tuple(half * by))), int) for by in (1, 1.4))
        rows, columns = np.indices(inside.shape)
        central = 1 - 2 * ((columns / small.width - 0.5) ** 2 + (rows / small.height - 0.42) ** 2)
        score = (2 * inside - around) / 255 * (0.5 + part) * central
        row, column = np.unravel_index(int(score.argmax()), score.shape)
        faces.append((float(score[row, column]), float(column), float(row), short * part))
    _, x, y, width = max(faces)
    y += width * 0.35
    left, top = max(0, int(x - width * 0.45)), max(0, int(y - width * 0.4))
    near = np.asarray(small.crop((left, top, int(x + width * 0.45), int(y + width * 0.3))), np.float32)
    redness = (near[..., 0] - near[..., 1]) / (near.sum(axis=2) + 30)
    lips = np.clip(redness - np.percentile(redness, 90) - 0.02, 0, None)
    if lips.mean() > 0.001:
        y, x = np.tensordot(np.indices(lips.shape), lips) / lips.sum() + (top, left)
    scale = image.width / small.width
    return float(x) * scale, float(y) * scale, width * 0.38 * scale
