"""Numbers and what they count, as messages say them."""


def counted(number: int, singular: str, plural: str = '') -> str:
    """`1 pair`, `2 pairs`.

    Args:
        number: how many.
        singular: the word for one of them.
        plural: the word for several; by default with an s at its end.
    """
    return f'{number} {noun(number, singular, plural)}'


def noun(number: int, singular: str, plural: str = '') -> str:
    """The word of `counted` alone, where the number is written in another way."""
    return singular if number == 1 else plural or f'{singular}s'
