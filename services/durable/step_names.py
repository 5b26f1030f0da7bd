"""Step names that other modules depend on.

Step names are a contract: the journal stores results under them, so a renamed step would run again in every unfinished
job. The names below are also used by cancellation, by queries and by the dashboard.
"""

from typing import Final

DELIVER: Final = "deliver"
"""Sends the result. Once it has started, the order can no longer be cancelled."""
DELIVER_CAPTION: Final = "words"
"""Sends an album's caption and buttons, as an album cannot have buttons."""
NOTIFY: Final = "notify"
"""Tells the user why there is no result. Once it has started, the order can no longer be cancelled."""
START_PREFIX: Final = "start-"
"""Followed by a number: starts work at a provider. The step's value is the prediction's id."""
PAUSE_PREFIX: Final = "pause-"
"""Followed by a number: waits for a prediction."""
POLL_PREFIX: Final = "poll-"
"""Followed by a number: polls the predictions."""
