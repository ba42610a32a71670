"""Where a user reads what a message has no room for."""

__all__ = ["manual"]


def manual(page: str) -> str:
    """What shows a page of the manual, also where the program is installed and there is no checkout.

    Parameters
    ----------
    page : str
        Name of a file in the folder docs, without its ending.
    """
    return f"spikesim manual {page}"
