"""What leaves the process contains no secret, and no URL that may contain one."""

import pytest

from providers.redaction import hide_secrets, redact, redact_line, redacted_json

BOT_TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://user:pw@x.example:8/a?token=1 now", "see https://x.example/… now"),
        ("data:image/png;base64,AAAA", "data:…"),
        ("http://[broken", "…"),
        (f"bot {BOT_TOKEN}", "bot 123456789:…"),
    ],
)
def test_redact_hides_urls_and_tokens(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"GET https://api.telegram.org/bot{BOT_TOKEN}/getMe",
            "GET https://api.telegram.org/bot123456789:…/getMe",
        ),
        ("key sk-proj-abcdef123456", "key …"),
        ("Authorization: Bearer r8_abcdefghij", "Authorization: …"),
        ("secret whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "secret …"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "…"),
    ],
)
def test_hide_secrets_keeps_the_rest_of_the_line(text: str, expected: str) -> None:
    assert hide_secrets(text) == expected


@pytest.mark.parametrize(
    "line",
    [
        "open http://127.0.0.1:8080/sandbox/",
        "the token expired yesterday",
        "12:34:56.789 INFO job 0197f3aa-1234-7abc-8def-0123456789ab accepted from 1001234567 for plan B",
    ],
)
def test_hide_secrets_leaves_ordinary_lines_unchanged(line: str) -> None:
    assert hide_secrets(line) == line


def test_redact_line_returns_one_short_line() -> None:
    assert (
        redact_line("Server error\n for  https://inn.gs/e/s3cr3t-event-key") == "Server error for https://inn.gs/…"
    )
    assert len(redact_line("x" * 5000)) == 300


def test_redact_line_of_a_providers_message_has_no_key_url_or_content() -> None:
    line = redact_line(
        "Bearer abc.def r8_Abc123 sk-proj-12*34 at https://host/file/bot12:AA/x?sig=1\n data:a/b;base64,AAAA"
    )
    for secret in ("abc.def", "Abc123", "proj", "bot12", "sig", "AAAA", "\n"):
        assert secret not in line
    assert "https://host/…" in line


def test_redacted_json_hides_values_by_name_and_is_short() -> None:
    assert "hunter2" not in redacted_json({"a": [{"api_key": "hunter2", "password": "hunter2"}]})
    assert len(redacted_json(["x" * 500] * 100)) <= 600
    assert redacted_json({"n": 1, "t": True, "none": None}) == '{\n "n": 1,\n "t": true,\n "none": null\n}'
