"""What is known about one clip, for any of the tasks: the `labels` of a manifest's line.

The keys are the names of the tasks and their values have the tasks' own forms, looked up whenever a line is checked,
so that a task that somebody adds to `TASKS` is known at once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    ValidationInfo,
    create_model,
    model_validator,
)
from pydantic_core import CoreSchema, to_json

from nanoemox.tasks.base import Label
from nanoemox.tasks.task import TASKS

L = TypeVar("L", bound=Label)


class Labels(BaseModel):
    """What is known about one clip. A line is an example of every task that it has labels for.

    `labels.get("emotion")` and `labels.emotion` give a task's label, None where there is none.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _by_task(cls, value: Any, info: ValidationInfo) -> Any:
        """Check every entry against its task's form."""
        if isinstance(value, Labels):
            return value
        form = labels_form()
        if info.mode == "json":  # as strictly as the line around it, and by JSON's rules
            known = form.model_validate_json(to_json(value, inf_nan_mode="constants"), strict=True)
        else:
            known = form.model_validate(value)
        return {name: label for name, label in known if label is not None}

    def get(self, name: str) -> Label | None:
        """The label of one task."""
        found = (self.model_extra or {}).get(name)
        return found if isinstance(found, Label) else None

    def __getattr__(self, name: str) -> Any:
        return self.get(name) if name in TASKS else super().__getattr__(name)  # type: ignore[misc]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that this line is an example of."""
        return tuple(name for name in TASKS if self.get(name) is not None)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        form = labels_form()
        schema = handler.resolve_ref_schema(handler(form.__pydantic_core_schema__))
        return {**schema, "title": "Labels", "description": (cls.__doc__ or "").split("\n")[0]}


def labels_form() -> type[BaseModel]:
    """The form of `labels` with one key for each task that there is now."""
    return _form_of(tuple((name, task.form) for name, task in TASKS.items()))


@lru_cache(maxsize=8)
def _form_of(forms: tuple[tuple[str, type[Label]], ...]) -> type[BaseModel]:
    fields: dict[str, Any] = {name: (form | None, None) for name, form in forms}
    return create_model(
        "TaskLabels", __config__=ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True), **fields
    )
