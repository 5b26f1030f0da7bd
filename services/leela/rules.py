"""The rules of Leela: 72 squares, snakes, arrows, sixes. Pure: a move is a function of the game and the roll."""

from dataclasses import dataclass
from typing import Final, Literal

Direction = Literal["step", "snake", "arrow", "stop", "win"]

LAST_SQUARE: Final = 72
HOME_SQUARE: Final = 68
"""Where the piece waits for the first six, and where the game is won."""
ENTRY: Final = 6
"""The roll that lets the piece in, and the square it then stands on."""
SNAKES: Final = {12: 8, 16: 4, 24: 7, 29: 6, 44: 9, 52: 35, 55: 3, 61: 13, 63: 2, 72: 51}
"""By the square where each snake begins: the square below that it leads to."""
ARROWS: Final = {10: 23, 17: 69, 20: 32, 22: 60, 27: 41, 28: 50, 37: 66, 45: 67, 46: 62, 54: 68}
"""By the square where each arrow begins: the square that it leads to."""
MIN_REPORT_LENGTH: Final = 50
"""Characters that a player has to write about a square before the next roll."""
_SIXES_IN_A_ROW: Final = 3


@dataclass(frozen=True)
class Game:
    """Where one player is.

    Attributes:
        square: Where the piece stands.
        waiting: Whether it waits on the home square for the six that lets it in.
        sixes: How many sixes were rolled in a row.
        before_sixes: `square` and `waiting` as they were before the first of these sixes.
    """

    square: int = HOME_SQUARE
    waiting: bool = True
    sixes: int = 0
    before_sixes: tuple[int, bool] = (HOME_SQUARE, True)

    @property
    def won(self) -> bool:
        """Whether the piece came back to the home square."""
        return self.square == HOME_SQUARE and not self.waiting


@dataclass(frozen=True)
class Move:
    """What a roll did.

    Attributes:
        roll: What the die showed.
        start: Where the piece stood.
        over: Where the count led, and perhaps a snake or an arrow began.
        square: Where the piece stands now.
        direction: How it came there; `stop` where it stayed.
        game: The game after the move.
    """

    roll: int
    start: int
    over: int
    square: int
    direction: Direction
    game: Game


def apply_roll(game: Game, roll: int) -> Move:
    """Move the piece.

    Args:
        game: The game before the roll. After a win a new one begins with it.
        roll: What the die shows, 1 to 6.

    Raises:
        ValueError: A die cannot show this.
    """
    if not 1 <= roll <= 6:
        raise ValueError(f"a die cannot show {roll}")
    if game.won:
        game = Game()
    sixes = game.sixes + 1 if roll == ENTRY else 0
    before = (game.square, game.waiting) if sixes == 1 else game.before_sixes
    if sixes == _SIXES_IN_A_ROW:
        return _undo_sixes(game, roll, before)
    over, square, direction = _resolve_roll(game, roll)
    waiting = game.waiting and direction == "stop"
    return Move(roll, game.square, over, square, direction, Game(square, waiting, sixes, before))


def _undo_sixes(game: Game, roll: int, before: tuple[int, bool]) -> Move:
    """The third six in a row: back to where the piece stood before the first one, and the count starts from 0."""
    square, waiting = before
    return Move(roll, game.square, game.square, square, "snake", Game(square, waiting))


def _resolve_roll(game: Game, roll: int) -> tuple[int, int, Direction]:
    """`over`, `square` and `direction` of the move."""
    if game.waiting:
        return (ENTRY, ENTRY, "step") if roll == ENTRY else (HOME_SQUARE, HOME_SQUARE, "stop")
    over = game.square + roll
    if over > LAST_SQUARE:
        return game.square, game.square, "stop"
    square = SNAKES.get(over) or ARROWS.get(over) or over
    if square == HOME_SQUARE:
        return over, square, "win"
    return over, square, "snake" if over in SNAKES else "arrow" if over in ARROWS else "step"
