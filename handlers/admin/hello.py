"""`/hello`: run hello world on Plan A and show its result."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from handlers.admin.access import is_admin
from handlers.context import UserContext
from services.hello import Hello, HelloEnvironment, HelloResult, greeting, hello_result
from services.jobs.routing import InngestUnavailable

router = Router(name="hello")
router.message.filter(is_admin)


async def say_hello(ctx: UserContext, args: str) -> None:
    """Run hello world, inline if Inngest is unavailable, and show its result.

    Args:
        ctx: The admin.
        args: The name to greet; if empty, the admin's first name.
    """
    name, language = args or ctx.user.first_name, ctx.language
    try:
        result, plan = await ctx.router.plan_a.hello(name, language), "A"
    except InngestUnavailable as error:
        await ctx.send(ctx.t("hello.away", why=str(error)))
        params = Hello(name=name, language=language)
        result, plan = hello_result(greeting(params), params, HelloEnvironment()), "B"
    await ctx.send(_hello_text(ctx, result, plan))


@router.message(Command("hello"))
async def _hello(message: Message, ctx: UserContext, command: CommandObject) -> None:
    """Run hello world on Plan A and show what the run returned."""
    await say_hello(ctx, command.args or "")


def _hello_text(ctx: UserContext, result: HelloResult, plan: str) -> str:
    body = result.model_dump_json(by_alias=True, indent=2)
    return ctx.t("hello.result", message=result.message, plan=plan, body=body)
