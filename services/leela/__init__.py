"""The game of Leela: a board of 72 squares, Telegram's die, and replies to the player's reports after each move."""
