"""Services by their specs: prices, checks, what fits into Telegram, and what Inngest is told of them."""

import logging
from pathlib import Path
from typing import Any, cast

import inngest
import pytest

from inngest_functions.registry import create_functions
from inngest_functions.run_locks import RunLocks
from services.billing.payments import CREDIT_PACKS, pack_for
from services.core.errors import InvalidRequest
from services.generation.catalogue import MODELS, load_models
from services.generation.inputs import ChoiceInput, Option, UserOptions
from services.generation.registry import SERVICES
from services.generation.spec import ServiceSpec
from services.jobs.engine import JobEngine
from services.messaging.buttons import (
    DraftCallback,
    LanguageCallback,
    MenuCallback,
    ResultCallback,
    ServiceCallback,
    TopupCallback,
)

SPECS = pytest.mark.parametrize("spec", SERVICES.values(), ids=SERVICES)
T2I = SERVICES["text_to_image"]
NOTHING: UserOptions = {}
OWN: UserOptions = {name: (Option("7" * 20, "Mine"),) for name in ("own", "own_model", "voice")}
INPUTS = {"model": "flux-schnell", "prompt": "a fox", "size": "1:1", "count": "1"}


# ---------------------------------------------------------------- every service


def names(spec: ServiceSpec) -> set[str]:
    return {spec.event, spec.function_id}


def test_no_two_services_share_a_name() -> None:
    found = [name for spec in SERVICES.values() for name in names(spec)]
    assert len(found) == len(set(found))


def test_text_to_image_keeps_the_fields_own_names() -> None:
    assert (T2I.event, T2I.function_id) == ("image/text-to-image.start", "generate-text-to-image")


@SPECS
def test_every_button_fits_into_telegrams_64_bytes(spec: ServiceSpec) -> None:
    taps: list[Any] = [ServiceCallback(service=spec.id)]
    values = spec.with_defaults({}, OWN)
    for each in spec.inputs:
        taps.append(DraftCallback(draft="12345678", action="show", input=each.id))
        if isinstance(each, ChoiceInput):
            models = [{**values, "model": model} for model in MODELS.get(spec.id, {})] or [values]
            taps += [
                DraftCallback(draft="12345678", action="set", input=each.id, value=option.value)
                for given in models
                for option in each.options(given, OWN)
            ]
    taps += [ResultCallback(job="f" * 32, action=action) for action in (*spec.actions, "again", "retry", "stop")]
    for tap in taps:
        packed = tap.pack()
        assert len(packed.encode()) <= 64, packed
        assert type(tap).unpack(packed) == tap


def test_general_buttons_fit_too() -> None:
    taps: list[Any] = [
        MenuCallback(place="language"),
        LanguageCallback(language="ru"),
        *(TopupCallback(stars=p) for p in CREDIT_PACKS),
    ]
    assert all(len(tap.pack().encode()) <= 64 for tap in taps)


@SPECS
def test_choices_have_a_default_and_so_are_never_missing(spec: ServiceSpec) -> None:
    values = spec.with_defaults({}, OWN)
    for each in spec.inputs:
        if isinstance(each, ChoiceInput):
            assert each.validate(values[each.id], values, OWN) == values[each.id]
    assert not isinstance(spec.first_missing(values), ChoiceInput)
    assert spec.first_empty_choice(values, OWN) is None


@SPECS
def test_what_only_its_owner_has_can_be_missing_and_says_who_makes_it(spec: ServiceSpec) -> None:
    if spec.first_empty_choice(spec.with_defaults({}, NOTHING), NOTHING) is not None:
        assert spec.created_by in SERVICES or spec.id == "speech"


@SPECS
def test_every_action_is_general_an_input_or_a_service(spec: ServiceSpec) -> None:
    assert set(spec.actions) - {"again"} <= {each.id for each in spec.inputs} | set(SERVICES)


def test_inngest_serves_a_function_for_each_service_with_its_limits() -> None:
    client = inngest.Inngest(app_id="test", is_production=False, logger=logging.getLogger("test"))
    functions = create_functions(
        client, JobEngine(cast("Any", None), {}, cast("Any", None)), cast("RunLocks", None)
    )
    configs = {function.local_id: function.get_config("http://app").main for function in functions}
    for spec in SERVICES.values():
        config = configs[spec.function_id].model_dump(mode="json")
        assert [trigger["event"] for trigger in config["triggers"]] == [spec.event]
        assert config["concurrency"][0]["limit"] == spec.concurrency
        assert config["concurrency"][1] == {"key": "event.data.user_id", "limit": 2, "scope": None}
        assert config["idempotency"] == "event.data.dedup_id", "the job's id, and how often Inngest lost it"
        assert config["steps"]["step"]["retries"]["attempts"] == 3
        assert [cancel["event"] for cancel in config["cancel"]] == ["job/cancelled"]
    assert all(function.on_failure_fn_id for function in functions)


# ---------------------------------------------------------------- text to image


@pytest.mark.parametrize(
    ("model", "stars"),
    [
        ("flux-schnell", 1),
        ("flux-dev", 4),
        ("photon", 5),
        ("recraft-v3", 7),
        ("flux-1.1-pro", 9),
        ("flux-1.1-pro-ultra", 10),
        ("ideogram-v2", 13),
    ],
)
def test_prices_are_the_fields_own(model: str, stars: int) -> None:
    assert T2I.price({**INPUTS, "model": model}) == stars
    assert T2I.price({**INPUTS, "model": model, "count": "4"}) == 4 * stars


def test_a_whole_order_is_checked() -> None:
    assert T2I.validate({**INPUTS, "prompt": "  a fox \n"}, NOTHING) == INPUTS
    assert list(T2I.validate({**INPUTS, "more": 1}, NOTHING)) == list(INPUTS), "nothing that no input asks for"


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"prompt": ""}, "input.no_words"),
        ({"prompt": None}, "input.no_words"),
        ({"prompt": 7}, "input.no_words"),
        ({"prompt": " \n\t"}, "input.no_words"),
        ({"prompt": "🦊 ❤️ …"}, "input.no_words"),
        ({"prompt": "a" * 2001}, "input.too_long"),
        ({"model": "no-such-model"}, "input.not_offered"),
        ({"size": "7:1"}, "input.not_offered"),
        ({"count": "0"}, "input.not_offered"),
        ({"count": "5"}, "input.not_offered"),
        ({"count": 1}, "input.not_offered"),
        ({"model": "photon", "size": "4:5"}, "input.not_offered"),
    ],
)
def test_what_cannot_be_ordered_is_refused_with_what_to_change(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        T2I.validate({**INPUTS, **changes}, NOTHING)
    assert refused.value.key == key
    assert refused.value.persons_fault


@pytest.mark.parametrize("prompt", ["a" * 2000, "лиса", "狐狸", "7", "a 🦊"])
def test_words_of_any_language_are_taken(prompt: str) -> None:
    assert T2I.validate({**INPUTS, "prompt": prompt}, NOTHING)["prompt"] == prompt


def test_a_size_that_another_model_has_not_falls_back_to_one_it_has() -> None:
    fitted = T2I.with_defaults({**INPUTS, "size": "4:5", "model": "photon"}, NOTHING)
    assert fitted == {**INPUTS, "size": "1:1", "model": "photon"}
    assert T2I.with_defaults({**INPUTS, "size": "21:9", "model": "photon"}, NOTHING)["size"] == "21:9"


def test_the_first_model_and_one_picture_are_the_default() -> None:
    values = T2I.with_defaults({}, NOTHING)
    assert values == {"model": "flux-schnell", "size": "1:1", "count": "1"}
    missing = T2I.first_missing(values)
    assert missing
    assert missing.id == "prompt"


def test_what_was_chosen_reads_as_people_see_it() -> None:
    assert T2I.summary(INPUTS, NOTHING) == "FLUX schnell · 1:1 · ×1"
    assert T2I.prompts(INPUTS) == ["a fox"]


# ---------------------------------------------------------------- the catalogue and the packs

ENTRY = '[[text_to_image]]\nid = "{id}"\nlabel = "One"\nmodel = "{model}"\nusd = {usd}\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ENTRY.format(id="one", model="a/b", usd=0.1) * 2, "share an id"),
        (ENTRY.format(id="One!", model="a/b", usd=0.1), "text_to_image.0.id"),
        (ENTRY.format(id="one", model="no-owner", usd=0.1), "text_to_image.0.model"),
        (ENTRY.format(id="one", model="a/b", usd=0), "text_to_image.0.usd"),
        (ENTRY.format(id="one", model="a/b", usd=0.1) + 'nonsense = "x"\n', "text_to_image.0.nonsense"),
    ],
)
def test_a_wrong_catalogue_says_where(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "models.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        load_models(file)


def test_a_price_is_rounded_up_to_whole_stars(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    for usd, stars in (("0.0064", 1), ("0.0065", 2), ("0.001", 1), ("0.5", 79)):
        file.write_text(ENTRY.format(id="one", model="a/b", usd=usd))
        assert load_models(file)["text_to_image"]["one"].credits() == stars


def test_the_pack_that_covers_what_is_missing() -> None:
    assert [pack_for(missing) for missing in (1, 50, 51, 2500, 9999)] == [50, 50, 100, 2500, 2500]
