"""The part of CEL (https://cel.dev) that function settings use, evaluated over events.

Examples: ``event.data.job_id == async.data.job_id && event.data.n > 3``, ``event.data.a + "-" + event.data.b``,
``event.data.paid ? 120 : 0``, ``event.data.name.startsWith("x")``, ``size(event.data.list)``,
``event.data.kind in ["a", "b"]``. CEL's own operators are replaced and the result is parsed as Python; only the
nodes below are evaluated, so an expression cannot run code. A missing field is null.
"""

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

_Operator = Callable[[Any, Any], Any]

_TOKEN: Final = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<op>&&|\|\||!=|!)|(?P<word>[A-Za-z_]\w*)"""
)
_SPLIT: Final = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|.)""", re.DOTALL)
_CLOSING: Final = {"(": ")", "[": "]"}
_OPERATORS: Final = {"&&": " and ", "||": " or ", "!": " not ", "!=": "!="}
# async is a keyword in Python, the others are constants of CEL
_RENAMED_WORDS: Final = {"async": "async_", "true": "True", "false": "False", "null": "None"}
_BINARY: Final[dict[type[ast.AST], _Operator]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, group: item in group,
}
_METHODS: Final[dict[str, _Operator]] = {
    "startsWith": lambda text, part: str(text).startswith(part),
    "endsWith": lambda text, part: str(text).endswith(part),
    "contains": lambda text, part: part in str(text),
    "matches": lambda text, pattern: re.search(pattern, str(text)) is not None,
}
_FUNCTIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "size": len,
    "string": str,
    "int": int,
    "double": float,
    "has": lambda value: value is not None,
}


class ExpressionError(ValueError):
    """An expression that this evaluator cannot parse or evaluate."""


@lru_cache(maxsize=1024)
def _parse_expression(expression: str) -> ast.expr:
    def rename(match: re.Match[str]) -> str:
        if word := match["word"]:
            return _RENAMED_WORDS.get(word, word)
        return match["text"] or _OPERATORS[match["op"]]

    try:
        text, _ = _expand_ternaries(iter(_SPLIT.findall(_TOKEN.sub(rename, expression))))
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(f"cannot parse the expression {expression!r}") from error


def _expand_ternaries(pieces: Iterator[str], ends: str = "") -> tuple[str, str]:
    """Replace every ``a ? b : c`` by ``((b) if (a) else (c))``.

    Returns:
        The text up to one of ``ends``, and the end that was found.

    Raises:
        SyntaxError: When a bracket or a ternary is not closed.
    """
    before, text = "", ""
    for piece in pieces:
        end = piece
        if piece == "?":
            chosen, _ = _expand_ternaries(pieces, ":")
            other, end = _expand_ternaries(pieces, f"{ends},")
            text = f"(({chosen}) if ({text}) else ({other}))"
        if end in _CLOSING:
            inner, closing = _expand_ternaries(pieces, _CLOSING[end])
            text += f"{end}{inner}{closing}"
        elif end and end in ends:
            return before + text, end
        elif end == ",":
            before, text = f"{before}{text},", ""
        elif piece != "?":
            text += piece
    if ends.strip(","):
        raise SyntaxError(f"no {ends}")
    return before + text, ""


def validate_expression(expression: str) -> None:
    """Check that an expression can be parsed.

    Raises:
        ExpressionError: When it cannot.
    """
    _parse_expression(expression)


def evaluate(expression: str, variables: Mapping[str, Any]) -> Any:
    """Return the value of an expression.

    Args:
        expression: The expression.
        variables: Its variables by name, usually ``event`` and ``async``.

    Raises:
        ExpressionError: When it uses a part of CEL that is not supported, or cannot be evaluated.
    """
    tree = _parse_expression(expression)
    scope = {_RENAMED_WORDS.get(name, name): value for name, value in variables.items()}
    try:
        return _evaluate_node(tree, scope)
    except (TypeError, ArithmeticError, re.error) as error:
        raise ExpressionError(f"cannot evaluate {expression!r}: {error}") from error


def is_expression_true(expression: str | None, variables: Mapping[str, Any]) -> bool:
    """Whether an expression is true; None is true, and an expression that cannot be evaluated is not.

    Raises:
        ExpressionError: When the expression cannot be parsed.
    """
    if expression is None:
        return True
    _parse_expression(expression)
    try:
        return evaluate(expression, variables) is True
    except ExpressionError:
        return False


def _evaluate_node(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return scope.get(name)
        case ast.List(elts=items):
            return [_evaluate_node(item, scope) for item in items]
        case ast.Attribute(value=owner, attr=field):
            return _get_field(_evaluate_node(owner, scope), field)
        case ast.Subscript(value=owner, slice=key):
            return _get_field(_evaluate_node(owner, scope), _evaluate_node(key, scope))
        case ast.Call():
            return _evaluate_call(node, scope)
        case _:
            return _evaluate_operator(node, scope)


def _evaluate_operator(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    match node:
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _evaluate_node(body if _evaluate_node(test, scope) is True else orelse, scope)
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_evaluate_node(value, scope) is True for value in values)
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(_evaluate_node(value, scope) is True for value in values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _evaluate_node(operand, scope) is not True
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluate_node(operand, scope)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_evaluate_node(left, scope), _evaluate_node(right, scope))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _BINARY:
            return _BINARY[type(op)](_evaluate_node(left, scope), _evaluate_node(right, scope))
        case _:
            raise ExpressionError(f"unsupported in expressions: {ast.unparse(node)}")


def _evaluate_call(node: ast.Call, scope: Mapping[str, Any]) -> Any:
    match node:
        case ast.Call(func=ast.Name(id=name), args=[argument]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](_evaluate_node(argument, scope))
        case ast.Call(func=ast.Attribute(value=owner, attr=name), args=[argument]) if name in _METHODS:
            return _METHODS[name](_evaluate_node(owner, scope), _evaluate_node(argument, scope))
        case _:
            raise ExpressionError(f"unsupported in expressions: {ast.unparse(node)}")


def _get_field(owner: Any, key: Any) -> Any:
    if isinstance(owner, Mapping):
        return owner.get(key)
    if isinstance(owner, list) and isinstance(key, int) and 0 <= key < len(owner):
        return owner[key]
    return None
