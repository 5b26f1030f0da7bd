"""`/hello`: run hello world on Plan A and show what it gave."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from handlers.admin.access import is_admin
from handlers.context import Desk
from services.hello import Hello, HelloEnvironment, HelloResult, greeting, hello_result
from services.jobs.routing import PlanAAway

router = Router(name="admin")


router.message.filter(is_admin)
router.callback_query.filter(is_admin)


@router.message(Command("hello"))
async def hello(message: Message, desk: Desk, command: CommandObject) -> None:
    """Hello world on Plan A, and what its run gave; inline where Inngest is away."""
    name, language = command.args or desk.user.first_name, desk.user.language
    try:
        result, plan = await desk.dispatcher.plans.plan_a.hello(name, language), "A"
    except PlanAAway as error:
        await desk.say(desk.t("hello.away", why=str(error)))
        said = Hello(name=name, language=language)
        result, plan = hello_result(greeting(said), said, HelloEnvironment()), "B"
    await desk.say(_hello_text(desk, result, plan))


def _hello_text(desk: Desk, result: HelloResult, plan: str) -> str:
    body = result.model_dump_json(by_alias=True, indent=2)
    return desk.t("hello.result", message=result.message, plan=plan, body=body)
