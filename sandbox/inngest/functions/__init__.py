"""What an app registers: its functions' settings, and the expressions and times in them."""
