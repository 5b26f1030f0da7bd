"""The game of Leela: a board of 72 squares, Telegram's die, and a reply to what the player writes after a move."""
