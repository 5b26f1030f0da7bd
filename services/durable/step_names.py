"""Names of steps that other parts depend on.

Step names are a contract: the journal stores results under them, so a renamed step runs again in every job that is
under way. The names below are also read by cancellation, by queries and by the dashboard.
"""

from typing import Final

DELIVER: Final = "deliver"
"""The result is sent. Once this has started, an order cannot be cancelled."""
DELIVER_CAPTION: Final = "words"
"""The caption and buttons that an album cannot carry are sent."""
NOTIFY: Final = "notify"
"""The user is notified why there is no result. Once this has started, an order cannot be cancelled."""
START_PREFIX: Final = "start-"
"""Followed by a number: work is started at a provider; the step's value is the prediction's id."""
PAUSE_PREFIX: Final = "pause-"
"""Followed by a number: a wait for a prediction."""
POLL_PREFIX: Final = "poll-"
"""Followed by a number: a poll of a prediction."""
