"""The specs of the services: prices, validation, limits of Telegram, and their Inngest functions."""

import logging
from pathlib import Path
from typing import Any, cast

import inngest
import pytest

from inngest_functions.registry import create_functions
from inngest_functions.run_locks import RunLocks
from services.billing.payments import CREDIT_PACKS, pack_for
from services.core.errors import InvalidRequest
from services.generation.catalogue import MODELS, CatalogueError, load_models
from services.generation.inputs import ChoiceInput, Option, UserOptions
from services.generation.registry import SERVICES, find_services
from services.generation.spec import ServiceSpec
from services.messaging.buttons import (
    DraftCallback,
    LanguageCallback,
    MenuCallback,
    ResultCallback,
    ServiceCallback,
    TopupCallback,
)
from tests.support.environments.idle_engine import create_idle_engine

SPECS = pytest.mark.parametrize("spec", SERVICES.values(), ids=SERVICES)
T2I = SERVICES["text_to_image"]
NO_OPTIONS: UserOptions = {}
USER_OPTIONS: UserOptions = {name: (Option("7" * 20, "Mine"),) for name in ("own", "own_model", "voice")}
INPUTS = {"model": "flux-schnell", "prompt": "a fox", "size": "1:1", "count": "1"}


# ---------------------------------------------------------------- every service


def event_and_function(spec: ServiceSpec) -> set[str]:
    return {spec.event, spec.function_id}


def test_services_have_unique_events_and_function_ids() -> None:
    found = [name for spec in SERVICES.values() for name in event_and_function(spec)]
    assert len(found) == len(set(found))


def test_text_to_image_has_the_documented_event_and_function_id() -> None:
    assert (T2I.event, T2I.function_id) == ("image/text-to-image.start", "generate-text-to-image")


@SPECS
def test_service_callback_data_fits_into_64_bytes(spec: ServiceSpec) -> None:
    callbacks: list[Any] = [ServiceCallback(service=spec.id)]
    values = spec.with_defaults({}, USER_OPTIONS)
    for each in spec.inputs:
        callbacks.append(DraftCallback(draft="12345678", action="show", input=each.id))
        if isinstance(each, ChoiceInput):
            models = [{**values, "model": model} for model in MODELS.get(spec.id, {})] or [values]
            callbacks += [
                DraftCallback(draft="12345678", action="set", input=each.id, value=option.value)
                for model_values in models
                for option in each.options(model_values, USER_OPTIONS)
            ]
    callbacks += [
        ResultCallback(job="f" * 32, action=action) for action in (*spec.actions, "again", "retry", "stop")
    ]
    for callback in callbacks:
        packed = callback.pack()
        assert len(packed.encode()) <= 64, packed
        assert type(callback).unpack(packed) == callback


def test_general_callback_data_fits_into_64_bytes() -> None:
    callbacks: list[Any] = [
        MenuCallback(place="language"),
        LanguageCallback(language="ru"),
        *(TopupCallback(stars=p) for p in CREDIT_PACKS),
    ]
    assert all(len(callback.pack().encode()) <= 64 for callback in callbacks)


@SPECS
def test_choices_have_a_default_and_are_never_missing(spec: ServiceSpec) -> None:
    values = spec.with_defaults({}, USER_OPTIONS)
    for each in spec.inputs:
        if isinstance(each, ChoiceInput):
            assert each.validate(values[each.id], values, USER_OPTIONS) == values[each.id]
    assert not isinstance(spec.first_missing(values), ChoiceInput)
    assert spec.first_empty_choice(values, USER_OPTIONS) is None


@SPECS
def test_missing_user_options_have_a_service_that_creates_them(spec: ServiceSpec) -> None:
    if spec.first_empty_choice(spec.with_defaults({}, NO_OPTIONS), NO_OPTIONS) is not None:
        assert spec.created_by in SERVICES or spec.id == "speech"


@SPECS
def test_actions_are_general_an_input_or_a_service(spec: ServiceSpec) -> None:
    assert set(spec.actions) - {"again"} <= {each.id for each in spec.inputs} | set(SERVICES)


def test_create_functions_serves_each_service_with_its_limits() -> None:
    client = inngest.Inngest(app_id="test", is_production=False, logger=logging.getLogger("test"))
    functions = create_functions(client, create_idle_engine(), cast("RunLocks", None), [])
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
    ("model", "credits"),
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
def test_price_of_text_to_image_is_the_documented_one(model: str, credits: int) -> None:
    assert T2I.price({**INPUTS, "model": model}) == credits
    assert T2I.price({**INPUTS, "model": model, "count": "4"}) == 4 * credits


def test_validate_normalizes_and_drops_unknown_inputs() -> None:
    assert T2I.validate({**INPUTS, "prompt": "  a fox \n"}, NO_OPTIONS) == INPUTS
    assert list(T2I.validate({**INPUTS, "more": 1}, NO_OPTIONS)) == list(INPUTS), "nothing that no input asks for"


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
def test_validate_with_an_invalid_input_raises_its_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        T2I.validate({**INPUTS, **changes}, NO_OPTIONS)
    assert refused.value.key == key


@pytest.mark.parametrize("prompt", ["a" * 2000, "лиса", "狐狸", "7", "a 🦊"])
def test_validate_accepts_prompts_in_any_language(prompt: str) -> None:
    assert T2I.validate({**INPUTS, "prompt": prompt}, NO_OPTIONS)["prompt"] == prompt


def test_with_defaults_replaces_a_size_that_the_model_lacks() -> None:
    values = T2I.with_defaults({**INPUTS, "size": "4:5", "model": "photon"}, NO_OPTIONS)
    assert values == {**INPUTS, "size": "1:1", "model": "photon"}
    assert T2I.with_defaults({**INPUTS, "size": "21:9", "model": "photon"}, NO_OPTIONS)["size"] == "21:9"


def test_with_defaults_takes_the_first_model_and_one_image() -> None:
    values = T2I.with_defaults({}, NO_OPTIONS)
    assert values == {"model": "flux-schnell", "size": "1:1", "count": "1"}
    missing = T2I.first_missing(values)
    assert missing
    assert missing.id == "prompt"


def test_summary_shows_the_choices_as_users_see_them() -> None:
    assert T2I.summary(INPUTS, NO_OPTIONS) == "FLUX schnell · 1:1 · ×1"
    assert T2I.prompts(INPUTS) == ["a fox"]


# ---------------------------------------------------------------- the catalogue and the packs

ENTRY = '[[text_to_image]]\nid = "{id}"\nlabel = "One"\nmodel = "{model}"\nusd = {usd}\n'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (ENTRY.format(id="one", model="a/b", usd=0.1) * 2, "share an id"),
        (ENTRY.format(id="One!", model="a/b", usd=0.1), "text_to_image.0.id"),
        (ENTRY.format(id="one", model="no-owner", usd=0.1), "text_to_image.0.model"),
        (ENTRY.format(id="one", model="a/b", usd=0), "text_to_image.0.usd"),
        (ENTRY.format(id="one", model="a/b", usd=0.1) + 'nonsense = "x"\n', "text_to_image.0.nonsense"),
    ],
)
def test_load_models_with_an_invalid_entry_names_its_place(tmp_path: Path, text: str, error: str) -> None:
    file = tmp_path / "models.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=error.replace(".", r"\.")):
        load_models(file)


def test_credits_of_a_model_are_rounded_up(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    for usd, credits in (("0.0064", 1), ("0.0065", 2), ("0.001", 1), ("0.5", 79)):
        file.write_text(ENTRY.format(id="one", model="a/b", usd=usd))
        assert load_models(file)["text_to_image"]["one"].credits() == credits


def test_pack_for_covers_the_missing_credits() -> None:
    assert [pack_for(missing) for missing in (1, 50, 51, 2500, 9999)] == [50, 50, 100, 2500, 2500]


def test_find_services_with_models_of_an_unknown_service_raises() -> None:
    with pytest.raises(CatalogueError, match=r"text_to_imag$"):
        find_services({**MODELS, "text_to_imag": {}})
