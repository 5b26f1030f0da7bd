"""A face, in a photo or a film, that says what is heard."""

from providers.protocols import PredictionRequest
from services.generation.catalogue import MODELS, Model
from services.generation.context import Work
from services.generation.inputs import FileInput, FileRef, Values
from services.generation.predictions import Ask, predict, seed_for
from services.generation.result import Media, Result
from services.generation.spec import ServiceSpec

_MODELS = MODELS["lip_sync"]
_LONGEST_SECONDS = 120


def _model_for(face: FileRef) -> Model:
    """Some models animate a photo, others a film."""
    fitting = (m for m in _MODELS.values() if (m.image_input if face.kind == "photo" else m.video_input))
    return next(fitting)


def _price(values: Values) -> int:
    return next(iter(_MODELS.values())).stars()


async def run(work: Work) -> Result:
    face = FileRef.model_validate(work.job.inputs["face"])
    sound = FileRef.model_validate(work.job.inputs["audio"])
    media, model, seed = work.providers.media, _model_for(face), seed_for(work, 1)
    files = {(model.image_input if face.kind == "photo" else model.video_input): face, model.audio_input: sound}
    ask = Ask(PredictionRequest("lip_sync", model.model, model.given(seed=seed), seed), files)
    (prediction,) = await predict(work, media, [ask], limit=SPEC.limit_seconds)
    return Result(media=(Media(kind="video", output=prediction.outputs[0]),), offline=media.offline)


SPEC = ServiceSpec(
    id="lip_sync",
    event="video/lip-sync.start",
    function_id="generate-lip-sync",
    emoji="👄",
    place=70,
    inputs=(
        FileInput("face", ("photo", "video"), max_seconds=_LONGEST_SECONDS),
        FileInput("audio", ("voice", "audio"), max_seconds=_LONGEST_SECONDS),
    ),
    price=_price,
    run=run,
    concurrency=3,
    limit_seconds=1200,
    actions=("again",),
)
