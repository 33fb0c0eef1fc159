"""PyTorch: one training step, written down as the operators that it ran, and run again.

What an eager step costs besides its arithmetic is Python: Keras' layers and wrappers, and
autograd's graph, made anew each time. A step does the same each time, so the operators
that PyTorch's dispatcher sees, those of the backward pass and of the optimizer among
them, become a plain function, which later steps call.

A step that reads a number and goes on by it (`if loss > 1`) cannot be written down; only
seeds of random draws are understood. What changes from step to step without any operator
shows where a replay is compared with the step itself: that is what `Replay.agrees` is for.
"""

import torch
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

_READ = torch.ops.aten._local_scalar_dense.default
# The same numbers in the same place: only gradients, of which there are none, differ.
_SAME = (
    torch.ops.aten.detach.default,
    torch.ops.aten.alias.default,
    torch.ops.aten.lift_fresh.default,
)


class Replay:
    """A step, as a function of other arrays of the same shapes.

    Args:
        function: what does and gives what the step would.
        state: every tensor that it reads and has not made, so all that it may change.
    """

    def __init__(self, function, state):
        self.function, self.state = function, state

    def __call__(self, arrays):
        return self.function(arrays)

    def agrees(self, step, arrays):
        """Runs the step, and this from the same state: `(logs, whether both did the same)`."""
        before = [s.detach().clone() for s in self.state]
        replayed = [*self(arrays).values(), *(s.detach().clone() for s in self.state)]
        with torch.no_grad():
            for tensor, value in zip(self.state, before, strict=True):
                tensor.copy_(value)
        logs = step(arrays)
        pairs = zip(replayed, [*logs.values(), *self.state], strict=True)
        return logs, all(torch.allclose(a, b, 1e-5, 1e-7, equal_nan=True) for a, b in pairs)


def record(step, arrays):
    """Runs a step once: `(logs, replay)`.

    Args:
        step: from a tuple of tensors to a dict of tensors; its state are tensors that it
            changes in place.
        arrays: what it is run on.

    Returns:
        What the step gave, and a `Replay`; None where it is no fixed list of operators.
    """
    with _Calls() as seen:
        logs = step(arrays)
    try:
        return logs, _Program(seen.calls, arrays, logs).replay()
    except _CannotRecord:
        return logs, None


class _CannotRecord(Exception):
    """A step that is not the same operators each time."""


class _Calls(TorchDispatchMode):
    """Notes every operator that is called, and calls it."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        found = operator(*args, **kwargs)
        self.calls.append((operator, args, kwargs, found))
        return found


class _Program:
    """Calls as the source of a function of `x`, a tuple of arrays.

    `lines` are `(text, names that it makes, names that it uses, whether it must stay)`.
    """

    def __init__(self, calls, arrays, logs):
        self.names = {id(a): f"x[{i}]" for i, a in enumerate(arrays)}
        # What no call made: variables, operators, dtypes.
        self.constants, self.lines, self.read = {}, [], None
        for operator, args, kwargs, found in calls:
            if operator in _SAME:
                self.names[id(found)] = self._text(args[0])
            elif operator is _READ:
                self._nothing_read()
                self.read = args[0], found
            else:
                self._call(operator, args, kwargs, found)
        self._nothing_read()
        self._line(f"return {self._text(logs)}", (), logs, True)

    def replay(self):
        needed, source = set(), []
        for text, made, used, stays in reversed(self.lines):
            if stays or needed & made:
                last = sorted((made | used) - needed)
                if last and source:
                    source.append(f"del {', '.join(last)}")
                source.append(text)
                needed |= used
        scope = dict(self.constants)
        exec("\n    ".join(["def replay(x):", *reversed(source)]), scope)
        state = [c for c in self.constants.values() if isinstance(c, torch.Tensor)]
        return Replay(torch.no_grad()(scope["replay"]), state)

    def _call(self, operator, args, kwargs, found):
        random = torch.Tag.nondeterministic_seeded in operator.tags
        if random:
            self._seed(kwargs.get("generator"))
        self._nothing_read()
        given = [self._text(a) for a in args]
        given += [f"{name}={self._text(value)}" for name, value in kwargs.items()]
        text = f"{self._text(operator)}({', '.join(given)})"
        known = {id(t) for t in _tensors((args, kwargs))}
        # What works in place gives what it was given, and nothing new.
        made = [t for t in _tensors(found) if id(t) not in known]
        for tensor in made:
            self.names[id(tensor)] = f"t{len(self.names)}"
        if made:
            several = isinstance(found, (tuple, list))
            targets = ["_" if t is None else self._text(t) for t in (found if several else [found])]
            text = f"{', '.join(targets)}{',' * several} = {text}"
        self._line(text, made, (args, kwargs), random or operator._schema.is_mutable)

    def _seed(self, generator):
        """Seeds a draw's generator by the number that was read for it."""
        tensor, number = self.read or (None, None)
        # As Keras does: a new generator for each draw, from 32 bits of its own count.
        if generator is None or number is None or number & 0xFFFFFFFF != generator.initial_seed():
            raise _CannotRecord
        self.read = None
        seed = f"int({self._text(tensor)}) & 0xFFFFFFFF"
        self._line(f"{self._text(generator)}.manual_seed({seed})", (), tensor, True)

    def _nothing_read(self):
        if self.read is not None:
            raise _CannotRecord

    def _line(self, text, made, used, stays):
        self.lines.append((text, self._local(made), self._local(used), stays))

    def _local(self, tree):
        """Names of the tensors that a call has made."""
        names = {self.names.get(id(t), "") for t in _tensors(tree)}
        return {name for name in names if name.startswith("t")}

    def _text(self, value):
        """How the source says a value."""
        if isinstance(value, torch.Tensor) and id(value) in self.names:
            return self.names[id(value)]
        if isinstance(value, (tuple, list)):
            return f"[{', '.join(map(self._text, value))}]"
        if isinstance(value, dict):
            return f"{{{', '.join(f'{k!r}: {self._text(v)}' for k, v in value.items())}}}"
        if value is None or isinstance(value, (bool, int)):
            return repr(value)
        name = f"c{id(value)}"
        self.constants[name] = value
        return name


def _tensors(tree):
    return [t for t in _pytree.tree_leaves(tree) if isinstance(t, torch.Tensor)]
