"""The rules of Leela: 72 squares, snakes, arrows and sixes. A move depends only on the game and the roll."""

from dataclasses import dataclass
from typing import Final, Literal

Direction = Literal["step", "snake", "arrow", "stop", "win"]

LAST_SQUARE: Final = 72
HOME_SQUARE: Final = 68
"""The square where the piece waits for the first six, and where the game is won."""
ENTRY: Final = 6
"""The roll needed to enter the game, and the square on which the piece then stands."""
SNAKES: Final = {12: 8, 16: 4, 24: 7, 29: 6, 44: 9, 52: 35, 55: 3, 61: 13, 63: 2, 72: 51}
"""The snakes: from square, to a lower square."""
ARROWS: Final = {10: 23, 17: 69, 20: 32, 22: 60, 27: 41, 28: 50, 37: 66, 45: 67, 46: 62, 54: 68}
"""The arrows: from square, to a higher square."""
MIN_REPORT_LENGTH: Final = 50
"""The minimum length of a report, in characters. It is required before the next roll."""
_SIXES_IN_A_ROW: Final = 3


@dataclass(frozen=True)
class Game:
    """The state of a game.

    Attributes:
        square: The piece's square.
        waiting: Whether the piece waits on the home square for a six to enter the game.
        sixes: The number of sixes rolled in a row.
        before_sixes: `square` and `waiting` before the first of these sixes.
    """

    square: int = HOME_SQUARE
    waiting: bool = True
    sixes: int = 0
    before_sixes: tuple[int, bool] = (HOME_SQUARE, True)

    @property
    def won(self) -> bool:
        """Whether the piece has returned to the home square."""
        return self.square == HOME_SQUARE and not self.waiting


@dataclass(frozen=True)
class Move:
    """A move.

    Attributes:
        roll: The value of the die.
        start: The square before the move.
        over: The square reached by the roll, before any snake or arrow.
        square: The square after the move.
        direction: How the piece got there; `stop` if it did not move.
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
        game: The game before the roll. If it is won, a new game starts with this roll.
        roll: The value of the die, 1 to 6.

    Raises:
        ValueError: The roll is not between 1 and 6.
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
    """Handle the third six in a row: the piece returns to where it was before the first, and the count is reset."""
    square, waiting = before
    return Move(roll, game.square, game.square, square, "snake", Game(square, waiting))


def _resolve_roll(game: Game, roll: int) -> tuple[int, int, Direction]:
    """Return `over`, `square` and `direction` of the move."""
    if game.waiting:
        return (ENTRY, ENTRY, "step") if roll == ENTRY else (HOME_SQUARE, HOME_SQUARE, "stop")
    over = game.square + roll
    if over > LAST_SQUARE:
        return game.square, game.square, "stop"
    square = SNAKES.get(over) or ARROWS.get(over) or over
    if square == HOME_SQUARE:
        return over, square, "win"
    return over, square, "snake" if over in SNAKES else "arrow" if over in ARROWS else "step"
