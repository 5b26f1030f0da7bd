"""The settings for the docs, and .env.example. Each setting is described by its docstring in `Settings`."""

import textwrap
from typing import Final, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from bot.settings import Settings
from scripts.docs.markdown import code, format_table

_SECTIONS: Final = {
    "environment": "Process",
    "inngest_transport": "Inngest: Plan A",
    "host": "Process",
    "bot_token": "Telegram",
    "database_url": "Database",
    "replicate_api_token": "Providers",
    "plan_a_start_timeout": "Jobs",
    "welcome_credits": "Users",
    "alert_webhook_url": "Alerts",
}
"""The first setting of each section, in the order of `Settings`. A section may be continued."""
_SECTION_ORDER: Final = (
    *("Process", "Telegram", "Database", "Providers", "Inngest: Plan A", "Jobs", "Users", "Alerts"),
)
_SCRIPT_SETTINGS: Final = {
    "INNGEST_CLI": "The dev server's program, if it is not inngest or inngest-cli on the PATH. Read by the scripts."
}
_ENV_HEADER: Final = """\
# Every setting of Diptych. Copy this file to .env and fill in what you need. With nothing set, everything runs on
# this machine, with no account and no key. An environment variable overrides this file.
# Written by scripts/generate_docs.py.
"""


def _settings_by_section() -> dict[str, dict[str, FieldInfo]]:
    sections: dict[str, dict[str, FieldInfo]] = {name: {} for name in _SECTION_ORDER}
    section = ""
    for name, field in Settings.model_fields.items():
        section = _SECTIONS.get(name, section)
        if not field.description:
            raise SystemExit(f"{name} needs a docstring in Settings")
        sections[section][name] = field
    return sections


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is None or isinstance(default, SecretStr | dict | frozenset):
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def _rule(field: FieldInfo) -> str:
    """The values that a setting may have, as far as its type says."""
    if get_origin(field.annotation) is Literal:
        return code(*get_args(field.annotation))
    bounds = {
        key: getattr(each, key) for each in field.metadata for key in ("ge", "gt", "le") if hasattr(each, key)
    }
    least, above, most = bounds.get("ge"), bounds.get("gt"), bounds.get("le")
    if least is not None:
        return f"{least} or more" if most is None else f"{least} to {most}"
    if above is not None:
        return f"above {above}" if most is None else f"above {above}, at most {most}"
    return ""


def settings_table() -> str:
    """The bot's settings by section, with the docstrings of `Settings`."""
    rows = []
    for section, fields in _settings_by_section().items():
        rows.append((f"**{section}**", "", "", ""))
        for name, field in fields.items():
            default = _default(field)
            rows.append(
                (f"`{name.upper()}`", code(default) if default else "", _rule(field), str(field.description))
            )
    return format_table(("setting", "default", "values", "meaning"), rows)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def env_example() -> str:
    """The content of .env.example."""
    lines = [_ENV_HEADER]
    for section, fields in _settings_by_section().items():
        lines.append(f"# ---- {section}\n")
        for name, field in fields.items():
            rule = _rule(field)
            text = _one_line(f"{field.description} Values: {rule}." if rule else str(field.description))
            lines.append(_env_entry(name.upper(), text.replace("`", ""), _default(field)))
        if section.startswith("Inngest"):
            lines += [_env_entry(name, text, "") for name, text in _SCRIPT_SETTINGS.items()]
    return "\n".join(part.rstrip("\n") if part.startswith("# ----") else part for part in lines)


def _env_entry(name: str, text: str, default: str) -> str:
    comment = "\n".join(textwrap.wrap(text, 115, initial_indent="# ", subsequent_indent="# "))
    return f"{comment}\n{name}={default}\n"
