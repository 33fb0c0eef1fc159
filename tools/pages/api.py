"""The API reference: docstrings as Markdown, one page for each public module."""

import importlib
import inspect
import re

MODULES = (
    "models", "zoo", "datasets", "metrics", "plots", "export", "callbacks", "schedules",
    "posteriors", "priors", "likelihoods", "objectives", "distributions", "flows", "networks",
    "layers", "quantizers", "conditions", "corruption", "directions", "distribution",
    "initializers", "similarity", "testing",
)  # fmt: skip
_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes|Call args|Example|Examples)\b.*:")


def pages():
    """Name of a page to its Markdown, the index first."""
    made = {name: _page(name) for name in MODULES}
    rows = "\n".join(
        f"| [`keras_vae.{name}`]({name}.md) | {_escaped(_first(_module(name)))} |" for name in made
    )
    tree = "\n".join(made)
    index = (
        "# API reference\n\nFrom the docstrings. `help(keras_vae.models.VAE)` says the same.\n\n"
        f"| module | what is in it |\n|---|---|\n{rows}\n\n"
        f"```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )
    return {"index": index, **made}


def _module(name):
    return importlib.import_module(f"keras_vae.{name}")


def _first(thing):
    """The first sentence of a docstring."""
    text = (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=\.)\s", text)[0]


def public(module):
    """The documented names of a module: those of `__all__`, or those that it defines."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    found = {name: getattr(module, name) for name in names}
    return {
        name: value
        for name, value in found.items()
        if inspect.isclass(value) or inspect.isroutine(value)
    }


def _page(name):
    module = _module(name)
    text = [f"# keras_vae.{name}", markdown(inspect.getdoc(module) or "")]
    for own, value in public(module).items():
        text.append(f"## {own}")
        kind = "class" if inspect.isclass(value) else "function"
        body = [markdown(inspect.getdoc(value) or "")]
        if kind == "class":
            body += [_method(key, method) for key, method in _methods(value)]
        signature = f"keras_vae.{name}.{own}{_signature(value)}"
        text.append(f"::::::{{py:{kind}}} {signature}\n\n" + "\n\n".join(body) + "\n\n::::::")
    return "\n\n".join(text) + "\n"


def _methods(value):
    """Public methods and properties with docstrings that keras_vae defines, by name."""
    found = {}
    for base in reversed(value.__mro__):
        if base.__module__.startswith("keras_vae") and (base is value or value.__name__ == "VAE"):
            found |= {k: v for k, v in vars(base).items() if not k.startswith("_")}
    for key, method in sorted(found.items()):
        method = getattr(method, "__func__", method)
        if (inspect.isroutine(method) or isinstance(method, property)) and method.__doc__:
            yield key, method


def _method(name, method):
    if isinstance(method, property):
        head = f"{{py:property}} {name}"
    else:
        head = f"{{py:method}} {name}{_signature(method, method=True)}"
    return f":::::{head}\n\n{markdown(inspect.getdoc(method))}\n\n:::::"


def _signature(value, method=False):
    """The arguments with their defaults, without hints, on one line."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    empty = inspect.Parameter.empty
    arguments = [p.replace(annotation=empty) for p in signature.parameters.values()]
    if method and arguments and arguments[0].name in ("self", "cls"):
        arguments = arguments[1:]
    text = str(signature.replace(parameters=arguments, return_annotation=empty))
    # An object has no shorter name than its class.
    return re.sub(r"<(?:(?:class|function) )?'?(?:[\w.]+\.)*(\w+)[^>]*>", r"\1", text)


def markdown(text):
    """A docstring as Markdown: sections as lists, indented lines as code."""
    parts = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        while lines:
            i = next((i for i, line in enumerate(lines) if _SECTION.match(line)), len(lines))
            if i:
                parts.append(_paragraph(lines[:i]))
                lines = lines[i:]
                continue
            end = next((j for j, x in enumerate(lines[1:], 1) if x[:1].strip()), len(lines))
            parts.append(_section(lines[:end]))
            lines = lines[end:]
    return "\n\n".join(parts)


def _paragraph(lines):
    if all(line.startswith("    ") for line in lines):
        return "```text\n" + inspect.cleandoc("\n".join(lines)) + "\n```"
    return "\n".join(_escaped(line.strip()) for line in lines)


def _section(lines):
    items = []
    for line in lines[1:]:
        if line.startswith("        ") and items:
            items[-1] += f" {line.strip()}"
        else:
            items.append(line.strip())
    head = lines[0]
    if head.startswith(("Returns", "Yields", "Example")):
        return f"**{_escaped(head)}** {_escaped(' '.join(items))}".strip()

    def item(text):
        name, colon, rest = text.partition(":")
        return f"- **{_escaped(name)}**:{_escaped(rest)}" if colon else f"- {_escaped(text)}"

    return "\n".join([f"**{_escaped(head)}**", "", *map(item, items)])


def _escaped(text):
    """Text whose signs Markdown leaves alone; code between backticks stays."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([\\*_\[\]<>|$#~])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)
