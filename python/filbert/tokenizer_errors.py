"""What the `tokenizers` package raises, told from what else is raised while it runs."""


def is_of_tokenizers(error: BaseException) -> bool:
    """Whether the package raised it: bare exceptions, those of arguments, and panics, which are outside of Exception.

    Others, subclasses too, are of signal handlers, which run as soon as a call of the package is back. A handler that
    raises just what the package does is not told from it.
    """
    return type(error) in (Exception, TypeError, ValueError) or type(error).__name__ == "PanicException"
