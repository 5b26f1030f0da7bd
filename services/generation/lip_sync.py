"""Lip-sync: a video in which the face from a photo or video speaks a recording."""

from providers.protocols import PredictionRequest
from services.generation.catalogue import MODELS, Model
from services.generation.context import JobContext
from services.generation.inputs import FileInput, FileRef, Values
from services.generation.predictions import ProviderJob, derive_seed, run_predictions
from services.generation.result import JobResult, Media
from services.generation.spec import ServiceSpec

_MODELS = MODELS["lip_sync"]
_MAX_SECONDS = 120


def _model_for(face: FileRef) -> Model:
    """Return the first model that accepts the face: some take a photo, others a video."""
    return next(m for m in _MODELS.values() if (m.image_input if face.kind == "photo" else m.video_input))


def _price(values: Values) -> int:
    return next(iter(_MODELS.values())).credits()


async def run(context: JobContext) -> JobResult:
    """Sync the face's mouth to the recording."""
    face = FileRef.model_validate(context.job.inputs["face"])
    audio = FileRef.model_validate(context.job.inputs["audio"])
    media, model, seed = context.providers.media, _model_for(face), derive_seed(context, 1)
    files = {(model.image_input if face.kind == "photo" else model.video_input): face, model.audio_input: audio}
    provider_job = ProviderJob(
        PredictionRequest("lip_sync", model.model, model.build_input(seed=seed), seed), files
    )
    (prediction,) = await run_predictions(
        context, media, [provider_job], time_limit_seconds=SPEC.time_limit_seconds
    )
    return JobResult(media=(Media(kind="video", output=prediction.outputs[0]),), offline=media.offline)


SPEC = ServiceSpec(
    id="lip_sync",
    event="video/lip-sync.start",
    function_id="generate-lip-sync",
    emoji="👄",
    menu_position=70,
    inputs=(
        FileInput("face", ("photo", "video"), max_seconds=_MAX_SECONDS),
        FileInput("audio", ("voice", "audio"), max_seconds=_MAX_SECONDS),
    ),
    price=_price,
    run=run,
    concurrency=3,
    time_limit_seconds=1200,
    actions=("again",),
)
