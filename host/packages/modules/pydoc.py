"""Takes the place of a module that the sandbox does not have, for packages that read their own
documentation with it."""

import inspect


def getdoc(thing):
    """The documentation of a thing, or the comments before it."""
    return inspect.getdoc(thing) or inspect.getcomments(thing) or ""


def splitdoc(doc):
    """The first line of a documentation, if a blank one follows it, and the rest."""
    lines = doc.strip().split("\n")
    if len(lines) == 1:
        return lines[0], ""
    if lines[1].strip():
        return "", "\n".join(lines)
    return lines[0], "\n".join(lines[2:])
