"""What an order costs its user, in whole credits."""


def discounted(price: int, percent: int) -> int:
    """Take a subscription tier's discount off a price.

    Args:
        price: Full price in credits.
        percent: Discount in percent, 0 to 100.

    Returns:
        Whole credits, rounded to the nearest. What costs something never becomes free.
    """
    return max(min(price, 1), (price * (100 - percent) + 50) // 100)
