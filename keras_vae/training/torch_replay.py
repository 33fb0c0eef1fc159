"""PyTorch: one training step, written down as the operators that it ran, and run again.

What an eager step costs besides its arithmetic is Python: Keras' layers and wrappers, and
autograd's graph, made anew each time. A step does the same each time, so the operators
that PyTorch's dispatcher sees, those of the backward pass and of the optimizer among
them, become a graph, and that a plain function, which later steps call.

A step that reads a number and goes on by it (`if loss > 1`) cannot be written down; only
seeds of random draws are understood. What changes from step to step without any operator
shows where a replay is compared with the step itself: that is what `Replay.agrees` is for.
"""

import contextlib
from operator import getitem

import torch
from torch import fx
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

_READ = torch.ops.aten._local_scalar_dense.default
# What can stand in a graph; tensors and generators are arguments of it.
_PLAIN = (
    *(type(None), bool, int, float, str),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format),
)
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
    """Calls as the graph of a function of arrays, and of what no call made: the constants."""

    def __init__(self, calls, arrays, logs):
        self.graph, self.last_input, self.constants = fx.Graph(), None, []
        self.nodes = {id(array): self._input() for array in arrays}
        # What must stay though nothing uses it, and the last number that was read.
        self.stays, self.read = set(), None
        for operator, args, kwargs, found in calls:
            if operator in _SAME:
                self.nodes[id(found)] = self._node(args[0])
            elif operator is _READ:
                self._nothing_read()
                self.read = args[0], found
            else:
                self._call(operator, args, kwargs, found)
        self._nothing_read()
        self.graph.output(self._nodes(logs))

    def replay(self):
        for node in reversed(self.graph.nodes):
            if node.op == "call_function" and not node.users and node not in self.stays:
                self.graph.erase_node(node)
        run = torch.no_grad()(fx.GraphModule({}, self.graph).forward)
        constants = self.constants
        state = [c for c in constants if isinstance(c, torch.Tensor)]
        return Replay(lambda arrays: run(*arrays, *constants), state)

    def _call(self, operator, args, kwargs, found):
        random = torch.Tag.nondeterministic_seeded in operator.tags
        if random:
            self._seed(kwargs.get("generator"))
        self._nothing_read()
        known = {id(t) for t in _tensors((args, kwargs))}
        node = self.graph.call_function(operator, self._nodes(args), self._nodes(kwargs))
        if random or operator._schema.is_mutable:
            self.stays.add(node)
        several = isinstance(found, (tuple, list))
        for i, tensor in enumerate(found if several else [found]):
            # What works in place gives what it was given, and nothing new.
            if isinstance(tensor, torch.Tensor) and id(tensor) not in known:
                part = self.graph.call_function(getitem, (node, i)) if several else node
                self.nodes[id(tensor)] = part

    def _seed(self, generator):
        """Seeds a draw's generator by the number that was read for it."""
        tensor, number = self.read or (None, None)
        # As Keras does: a new generator for each draw, from 32 bits of its own count.
        if generator is None or number is None or number & 0xFFFFFFFF != generator.initial_seed():
            raise _CannotRecord
        self.read = None
        seeded = self.graph.call_function(_seed, (self._node(generator), self._node(tensor)))
        self.stays.add(seeded)

    def _nothing_read(self):
        if self.read is not None:
            raise _CannotRecord

    def _nodes(self, tree):
        return fx.node.map_aggregate(tree, self._node)

    def _node(self, value):
        """A value as the graph says it: a plain one as it is, any other by a node."""
        if isinstance(value, _PLAIN):
            return value
        if id(value) not in self.nodes:
            self.nodes[id(value)] = self._input()
            self.constants.append(value)
        return self.nodes[id(value)]

    def _input(self):
        """One more argument of the function, after those that it has."""
        last = self.last_input
        with self.graph.inserting_after(last) if last else contextlib.nullcontext():
            self.last_input = self.graph.placeholder(f"input_{len(self.graph.nodes)}")
        return self.last_input


def _seed(generator, number):
    generator.manual_seed(int(number) & 0xFFFFFFFF)


def _tensors(tree):
    return [t for t in _pytree.tree_leaves(tree) if isinstance(t, torch.Tensor)]
