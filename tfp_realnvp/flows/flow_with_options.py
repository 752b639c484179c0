"""A flow whose constructor takes the options that stand in options.py."""

from __future__ import annotations

import dataclasses
import inspect

from tfp_realnvp.flows.checked_fields import describe, types_of
from tfp_realnvp.flows.image_flow import ImageFlow
from tfp_realnvp.flows.options import FlowOptions

__all__ = ["FlowWithOptions"]


class FlowWithOptions(ImageFlow):
    """A flow whose constructor takes the fields of `options_class` as keyword arguments.

    Each of them is checked and becomes an attribute of the same name; `get_config`, `help` and
    `inspect.signature` list them.

    Args:
      image_shape: (height, width, channels).
      **kwargs: the options, and the arguments of `ImageFlow`.

    Raises:
      TypeError, ValueError: an argument of the wrong type or outside its range.
    """

    options_class: type[FlowOptions]

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if {"options_class", "__init__"} <= vars(cls).keys():
            cls.__init__.__signature__ = _signature(cls.options_class)  # type: ignore[attr-defined]
            cls.__doc__ = f"{cls.__doc__}\n{describe(cls.options_class)}\n    "

    def __init__(self, image_shape: tuple[int, int, int], **kwargs):
        names = _names(self.options_class)
        options = self.options_class(**{name: kwargs.pop(name) for name in names if name in kwargs})
        super().__init__(image_shape, **kwargs)
        for name in names:
            setattr(self, name, getattr(options, name))

    def get_config(self):
        """The constructor's arguments."""
        options = {name: getattr(self, name) for name in _names(self.options_class)}
        return {**super().get_config(), **options}

    @classmethod
    def from_config(cls, config):
        """A flow from `get_config`, also that of version 0.4."""
        return super().from_config({**cls.options_class.former, **config})


def _names(options: type[FlowOptions]) -> list[str]:
    return [field.name for field in dataclasses.fields(options)]


def _signature(options: type[FlowOptions]) -> inspect.Signature:
    """The parameters of `ImageFlow`, with the options after the image shape."""
    shared = inspect.signature(ImageFlow.__init__, eval_str=True)
    itself, image_shape, *others = shared.parameters.values()
    types = types_of(options)
    own = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=types[field.name],
        )
        for field in dataclasses.fields(options)
    ]
    return inspect.Signature([itself, image_shape, *own, *others])
