"""Discounts on prices, in whole credits."""


def discounted(price: int, percent: int) -> int:
    """Apply a subscription tier's discount to a price.

    Args:
        price: The full price in credits.
        percent: The discount in percent, 0 to 100.

    Returns:
        The price in whole credits, rounded to the nearest, and at least 1 unless the full price is 0.
    """
    return max(min(price, 1), (price * (100 - percent) + 50) // 100)
