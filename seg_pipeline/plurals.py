"""Numbers and what they count, as messages say them."""


def counted(number: int, singular: str, plural: str = '') -> str:
    """`1 pair`, `2 pairs`.

    Args:
        number: how many.
        singular: the word for one of them.
        plural: the word for several; by default with an s at its end.
    """
    return f'{number} {singular if number == 1 else plural or singular + "s"}'
