"""PyTorch: one training step, recorded as the operators that it ran, and replayed.

What an eager step costs besides its arithmetic is Python: Keras' layers and wrappers, and
autograd's graph, which is built again each time. A step does the same each time. So the
operators that PyTorch's dispatcher sees, with those of the backward pass and of the
optimizer, become a graph, and the graph a plain function that later steps call.

A step that reads a number and branches on it (`if loss > 1`) cannot be recorded; the only
numbers that may be read are seeds of random draws. A change from step to step that no
operator makes shows where a replay is compared with the step itself: see `Replay.agrees`.
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
# The same numbers in the same place: only the gradient differs, and a replay has none.
_SAME = (
    torch.ops.aten.detach.default,
    torch.ops.aten.alias.default,
    torch.ops.aten.lift_fresh.default,
)


class Replay:
    """A step, as a function of other arrays of the same shapes.

    Args:
        function: does and returns what the step would.
        state: every tensor that it reads and did not create: all that it may change.
        writes: whether it changes any of them.
    """

    def __init__(self, function, state, writes=True):
        self.function, self.state, self.writes = function, state, writes

    def __call__(self, arrays):
        return self.function(arrays)

    def agrees(self, step, arrays):
        """Runs the step and the replay from one state: `(logs, whether both did the same)`.

        A replay that writes nothing leaves the state alone: another thread may train on it, and
        autograd refuses a backward pass through tensors that were written to.
        """
        if not self.writes:
            replayed, logs = list(self(arrays).values()), step(arrays)
            return logs, _all_close(replayed, logs.values())
        before = [s.detach().clone() for s in self.state]
        replayed = [*self(arrays).values(), *(s.detach().clone() for s in self.state)]
        with torch.no_grad():
            for tensor, value in zip(self.state, before, strict=True):
                # Nothing writes to a tensor that was expanded, nor could this.
                if 0 not in tensor.stride():
                    tensor.copy_(value)
        logs = step(arrays)
        return logs, _all_close(replayed, [*logs.values(), *self.state])


def _all_close(some, others):
    pairs = zip(some, others, strict=True)
    return all(torch.allclose(a, b, 1e-5, 1e-7, equal_nan=True) for a, b in pairs)


def record(step, arrays):
    """Runs a step once, and records it.

    Args:
        step: from a tuple of tensors to a dict of tensors; its state is the tensors that it
            changes in place.
        arrays: its argument.

    Returns:
        `(logs, replay)`: what the step returned, and a `Replay`, or None where the step is not
        a fixed list of operators.
    """
    with _Calls() as seen:
        logs = step(arrays)
    try:
        return logs, _Program(seen.calls, arrays, logs).replay()
    except _CannotRecord:
        return logs, None


class Recorded:
    """Steps on arrays of one shape: one is recorded, and the next one tests the recording.

    Each `fit` begins with that test: anything may have changed since the last.

    Args:
        step: see `record`.
        writes: whether the step may change its state. Where it may not and does (a layer
            that draws noise at inference), it is not replayed.
    """

    def __init__(self, step, writes=True):
        self.step, self.writes, self.fit, self.replay = step, writes, None, None
        self.to_record = self.to_test = False

    def __call__(self, arrays, fit="inference"):
        if self.fit is not fit:
            self.fit, self.to_record, self.to_test = fit, True, self.replay is not None
        # Read once: another thread may be here too.
        replay = self.replay
        if self.to_test and replay is not None:
            self.to_test = False
            logs, same = replay.agrees(self.step, arrays)
            self.to_record = self.to_record and not same
            self.replay = replay if same else None
            return logs
        if self.to_record:
            self.to_record = False
            logs, replay = record(self.step, arrays)
            if replay is not None and replay.writes and not self.writes:
                replay = None
            self.to_test, self.replay = replay is not None, replay
            return logs
        return self.step(arrays) if replay is None else replay(arrays)


class _CannotRecord(Exception):
    """The step does not run the same operators each time."""


class _Calls(TorchDispatchMode):
    """Records the operators that are called, and calls them."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        outputs = operator(*args, **kwargs)
        self.calls.append((operator, args, kwargs, outputs))
        return outputs


class _Program:
    """Calls as the graph of a function of arrays and of constants, which no call returned."""

    def __init__(self, calls, arrays, logs):
        self.graph, self.last_input, self.constants = fx.Graph(), None, []
        self.nodes = {id(array): self._input() for array in arrays}
        # Nodes with an effect stay in the graph though no other node uses them; `read` is the
        # last number that the step read; `written` the memory that operators changed.
        self.stays, self.read, self.written = set(), None, set()
        for operator, args, kwargs, outputs in calls:
            if operator in _SAME:
                self.nodes[id(outputs)] = self._node(args[0])
            elif operator is _READ:
                self._nothing_read()
                self.read = args[0], outputs
            else:
                self._call(operator, args, kwargs, outputs)
        self._nothing_read()
        self.graph.output(self._nodes(logs))

    def replay(self):
        for node in reversed(self.graph.nodes):
            if node.op == "call_function" and not node.users and node not in self.stays:
                self.graph.erase_node(node)
        run = torch.no_grad()(fx.GraphModule({}, self.graph).forward)
        constants = self.constants
        state = [c for c in constants if isinstance(c, torch.Tensor)]
        writes = any(_memory(tensor) in self.written for tensor in state)
        return Replay(lambda arrays: run(*arrays, *constants), state, writes)

    def _call(self, operator, args, kwargs, outputs):
        random = torch.Tag.nondeterministic_seeded in operator.tags
        if random:
            self._seed(kwargs.get("generator"))
        self._nothing_read()
        known = {id(t) for t in _tensors((args, kwargs))}
        node = self.graph.call_function(operator, self._nodes(args), self._nodes(kwargs))
        if random or operator._schema.is_mutable:
            self.stays.add(node)
        if operator._schema.is_mutable:
            self.written |= {_memory(t) for t in _written(operator, args, kwargs)}
        several = isinstance(outputs, (tuple, list))
        for i, tensor in enumerate(outputs if several else [outputs]):
            # In-place operators return one of their arguments.
            if isinstance(tensor, torch.Tensor) and id(tensor) not in known:
                part = self.graph.call_function(getitem, (node, i)) if several else node
                self.nodes[id(tensor)] = part

    def _seed(self, generator):
        """Seeds the generator of a draw with the number that was read for it."""
        tensor, number = self.read or (None, None)
        # As Keras does: a new generator for each draw, seeded with 32 bits of its own count.
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
        """A value in the graph: a plain one as it is, any other as a node."""
        if isinstance(value, _PLAIN):
            return value
        if id(value) not in self.nodes:
            self.nodes[id(value)] = self._input()
            self.constants.append(value)
        return self.nodes[id(value)]

    def _input(self):
        """One more argument of the function, after the others."""
        last = self.last_input
        with self.graph.inserting_after(last) if last else contextlib.nullcontext():
            self.last_input = self.graph.placeholder(f"input_{len(self.graph.nodes)}")
        return self.last_input


def _seed(generator, number):
    generator.manual_seed(int(number) & 0xFFFFFFFF)


def _written(operator, args, kwargs):
    """The tensors that an operator changes in place."""
    names = zip(operator._schema.arguments, args, strict=False)
    given = {**{argument.name: value for argument, value in names}, **kwargs}
    changed = [a.name for a in operator._schema.arguments if a.alias_info and a.alias_info.is_write]
    return _tensors([given.get(name) for name in changed])


def _memory(tensor):
    """Where a tensor's numbers are: the same for all views of one."""
    return tensor.untyped_storage().data_ptr()


def _tensors(tree):
    return [t for t in _pytree.tree_leaves(tree) if isinstance(t, torch.Tensor)]
