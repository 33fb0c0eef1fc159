"""The register of papers: every named function with its paper, its formula, its defaults."""

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from keras_vae.models.vae import VAE
from keras_vae.networks import shape_of

# The first arguments of every named function, positional or by keyword, in this order.
HEAD = {
    "input_shape": (tuple[int, ...], (28, 28, 1)),
    "latent_dim": (int, 20),
    "network": (str, "dense"),
    "units": (tuple[int, ...] | None, None),
    "likelihood": (Any, "bernoulli"),
    "seed": (int | None, None),
    "name": (str | None, None),
}
PAPERS: dict[str, "Paper"] = {}
# As the docstring's second paragraph begins: authors, "title", year.
_CITATION = re.compile(r'\n\n +(?P<authors>[^"]+), "(?P<title>[^"]+)",?\s+(?P<year>\d{4})\b')
_Function = TypeVar("_Function", bound=Callable)


@dataclass(frozen=True)
class Paper:
    """One named function.

    Attributes:
        name: of the function, as in `models.<name>`.
        model: what the paper calls it.
        formula: what is minimised.
        authors, title, year: of the paper; None where Python dropped the docstrings.
        defaults: the function's arguments with their defaults.
        dense: what a dense network has besides, unless it is given.
        function: the function itself.
    """

    name: str
    model: str | None
    formula: str | None
    authors: str | None
    title: str | None
    year: int | None
    defaults: dict[str, Any]
    dense: dict[str, Any]
    function: Callable[..., VAE] = field(repr=False)

    def __str__(self) -> str:
        lines = [
            f"models.{self.name}: {self.model}",
            f"  formula    {self.formula}",
            f'  paper      {self.authors}, "{self.title}", {self.year}',
            f"  defaults   {_listed(self.defaults)}",
        ]
        if self.dense:
            lines.append(f"  dense      {_listed(self.dense)}")
        return "\n".join(lines)


class Catalogue(tuple):
    """Records of papers: a tuple that prints well."""

    def __repr__(self) -> str:
        return "\n\n".join(map(str, self))


def catalogue() -> Catalogue:
    """Every named function of `keras_vae.models`, as `Paper`s sorted by name."""
    return Catalogue(PAPERS[name] for name in sorted(PAPERS))


def paper(dense: dict[str, Any] | None = None) -> Callable[[_Function], _Function]:
    """Decorator that makes a function one of the papers.

    The function names `input_shape`, `latent_dim`, those of the other first arguments
    that it looks at or has a default of its own for, its hyper-parameters, and hands
    `**options` on to `vae`. The decorator gives it all first arguments, positional too,
    its own name as the default of `name`, and a place in the register. Its docstring
    begins `Model: formula.`, then `Authors, "Title", year`.

    Args:
        dense: arguments that a dense network has unless they are given, such as `units`.

    Raises:
        ValueError: a docstring without formula or paper, or a name that is taken.
    """

    def register(function: _Function) -> _Function:
        name = function.__name__
        signature = _signature(function)
        defaults = {k: p.default for k, p in signature.parameters.items() if k != "options"}

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> VAE:
            kwargs = {"name": name, **_by_name(name, args, kwargs)}
            if "input_shape" in kwargs:
                kwargs["input_shape"] = shape_of(kwargs["input_shape"])
            if dense and kwargs.get("network", defaults["network"]) == "dense":
                if kwargs.get("units") is None:
                    kwargs.pop("units", None)
                kwargs = {**dense, **kwargs}
            return function(**kwargs)

        named: Any = wrapper
        named.__signature__ = signature
        named.__annotations__ = {
            "return": signature.return_annotation,
            **{
                k: p.annotation
                for k, p in signature.parameters.items()
                if p.annotation is not p.empty
            },
        }
        if name in PAPERS:
            raise ValueError(f"Every paper needs a name of its own. Received: {name!r} twice")
        model, formula, authors, title, year = _described(function)
        PAPERS[name] = Paper(
            name, model, formula, authors, title, year, defaults, dense or {}, named
        )
        return named

    return register


def _listed(arguments):
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _by_name(name, args, kwargs):
    """Positional first arguments as keywords; Python's own errors where that fails."""
    if len(args) > len(HEAD):
        raise TypeError(
            f"{name}() takes from 0 to {len(HEAD)} positional arguments but {len(args)} were given"
        )
    given = dict(zip(HEAD, args, strict=False))
    for argument in given:
        if argument in kwargs:
            raise TypeError(f"{name}() got multiple values for argument {argument!r}")
    return {**given, **kwargs}


def _signature(function):
    """The function's signature with all first arguments in front."""
    own = inspect.signature(function)
    first = []
    for key, (annotation, default) in HEAD.items():
        if key in own.parameters and own.parameters[key].default is not inspect.Parameter.empty:
            default = own.parameters[key].default
        elif key == "name":
            default = function.__name__
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        first.append(inspect.Parameter(key, kind, default=default, annotation=annotation))
    last = [p for key, p in own.parameters.items() if key not in HEAD]
    return own.replace(parameters=[*first, *last])


def _described(function):
    """Model, formula, authors, title and year, as the docstring says."""
    text = function.__doc__
    if text is None:
        # Python's option -OO: functions work, and the catalogue is without words.
        return (None,) * 5
    first, cited = text.partition("\n")[0], _CITATION.search(text)
    model, colon, formula = first.rstrip(".").partition(": ")
    if not colon or cited is None:
        raise ValueError(
            'The docstring of a paper begins `Model: formula.`, then `Authors, "Title", year`. '
            f"Received: {function.__name__} with {text[:200]!r}"
        )
    authors, title, year = (" ".join(part.split()) for part in cited.groups())
    return model, formula, authors, title, int(year)
