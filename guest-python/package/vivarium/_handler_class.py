"""Aggregates written as a handler class: every group has an instance, `accumulate` changes it and
`aggregate_state` tells what it has gathered.

The bridge keeps states, not instances, and writes them as Arrow. So the state is what
`aggregate_state` tells, and the instance that told it is remembered beside it. Where it has been
forgotten, or where the state came from elsewhere, a new instance merges the state."""

import dataclasses

MAX_REMEMBERED = 65536


class Instances:
    """The instances of a handler class."""

    def __init__(self, handler):
        self._handler = handler
        self.sample = handler()
        state = self.sample.aggregate_state
        self._export, self._import = _translation(state)
        # A state that is this very object is a new instance's.
        self._initial = self._export(state)
        # id of a state -> (the state, the instance that told it)
        self._remembered = {}

    def functions(self):
        """The five functions for the bridge."""
        retract = self._retract if hasattr(self._handler, "retract") else None
        return self._create, self._accumulate, retract, self._merge, self._finish

    def _state_of(self, instance):
        state = self._export(instance.aggregate_state)
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[id(state)] = state, instance
        return state

    def _instance(self, state):
        remembered = self._remembered.pop(id(state), None)
        if remembered is not None:
            return remembered[1]
        instance = self._handler()
        if state is not self._initial:
            instance.merge(self._import(state))
        return instance

    def _create(self):
        return self._state_of(self._handler())

    def _accumulate(self, state, *arguments):
        instance = self._instance(state)
        instance.accumulate(*arguments)
        return self._state_of(instance)

    def _retract(self, state, *arguments):
        instance = self._instance(state)
        instance.retract(*arguments)
        return self._state_of(instance)

    def _merge(self, state, other):
        instance = self._instance(state)
        instance.merge(self._import(other))
        return self._state_of(instance)

    def _finish(self, state):
        return self._instance(state).finish()


def _same(value):
    return value


def _translation(sample):
    """How a state becomes one that Arrow holds, and back, judged by a new instance's."""
    kind = type(sample)
    if dataclasses.is_dataclass(sample):
        names = [field.name for field in dataclasses.fields(sample)]

        def back(state):
            values = state.values() if isinstance(state, dict) else state
            return kind(**dict(zip(names, values)))

        return lambda state: tuple(getattr(state, name) for name in names), back
    if isinstance(sample, tuple):
        make = getattr(kind, "_make", tuple)
        return _same, lambda state: make(state.values() if isinstance(state, dict) else state)
    if kind in (set, frozenset):
        return list, kind
    return _same, _same
