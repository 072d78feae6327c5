"""Finding a task by its short or full name, and checking arguments before anything is sent."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from difflib import get_close_matches
from textwrap import shorten
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from ibutsu_tasks.errors import TaskArgumentsError, UsageError
from ibutsu_tasks.packages import loaded, named_by
from ibutsu_tasks.text.quoting import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ibutsu_tasks.packages import TaskPackage

SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class TaskSignature:
    """What is known of a task without running it; `parameters` leave out `self`."""

    wire_name: str
    parameters: Mapping[str, inspect.Parameter]
    summary: str

    @property
    def short_name(self) -> str:
        """The last part of the wire name."""
        return self.wire_name.rpartition(".")[2]

    def __str__(self) -> str:
        """Give `update_run(run_id: str)`."""
        parameters = ", ".join(map(str, self.parameters.values())).replace("typing.", "")
        return f"{self.short_name}({parameters})"


def task_names() -> list[str]:
    """Name all tasks in full."""
    return [name for one in loaded().packages for name in tasks_in(one)]


def list_tasks() -> list[TaskSignature]:
    """Give all tasks by name; where a package has no signatures, the modules of its tasks are imported."""
    return [task for one in loaded().packages for task in signatures_of(one)]


def signatures_of(package: TaskPackage) -> list[TaskSignature]:
    """Give the tasks of one package. Raises what an import raises."""
    return [
        TaskSignature(name, inspect.signature(stub, eval_str=True).parameters, inspect.getdoc(stub) or "")
        for name, stub in tasks_in(package).items()
    ]


def tasks_in(package: TaskPackage) -> Mapping[str, Callable[..., Any]]:
    """Give a package's tasks by name, as functions, but those of a module that cannot be imported."""
    if package.signatures:
        stubs: Mapping[str, Callable[..., Any]] = named_by(package, "signatures")
        return stubs
    from ibutsu_tasks.celery_app import tasks_of

    return {name: task.run for name, task in sorted(tasks_of(package).items())}


def find_task(name: str, tasks: Sequence[TaskSignature] | None = None) -> TaskSignature:
    """Find a task by its full name, or by the last part of it when no other task ends so.

    It is looked for among `tasks`, or all. Raises UsageError with the names that come close.
    """
    tasks = list_tasks() if tasks is None else tasks
    found = [task for task in tasks if name in {task.wire_name, task.short_name}]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(task.wire_name for task in found)
        raise UsageError(f"{name} may be any of {names}.", "Give the full name.")
    short_names = [task.short_name for task in tasks]
    near = get_close_matches(name.rpartition(".")[2], short_names, n=2, cutoff=0.6)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"The tasks are {', '.join(short_names)}."
    # Where there are signatures, no module was imported.
    asked = [one for one in loaded().packages if not one.signatures]
    modules = [said for one in asked for said in loaded().import_tasks(one).values()]
    problems = [*loaded().problems.values(), *modules]
    raise UsageError(" ".join([f"There is no task {name}.", *problems]), hint)


def parse_assignments(task: TaskSignature, assignments: Iterable[str]) -> dict[str, Any]:
    """Read `name=value` words. A value is JSON where the task takes more than text and it parses.

    Raises TaskArgumentsError for a word without `=`, a name given twice, or one the task does not have.
    """
    values: dict[str, Any] = {}
    for word in assignments:
        name, separator, text = word.partition("=")
        if not separator or not name:
            raise _refusal(task, f"{cut(word)!r} is not of the form NAME=VALUE.")
        if name in values:
            raise _refusal(task, f"{cut(name)} is given twice.")
        values[name] = _parse_value(text, _parameter(task, name).annotation)
    return values


def check_arguments(task: TaskSignature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise TaskArgumentsError, with the signature, unless the task can be called with these."""
    for name in kwargs:
        _parameter(task, name)
    try:
        given = inspect.Signature(list(task.parameters.values())).bind(*args, **kwargs).arguments
    except TypeError as error:
        raise _refusal(task, f"{task.short_name}: {error}.") from None
    for name, value in given.items():
        _check_value(task, task.parameters[name], value)


def _parameter(task: TaskSignature, name: str) -> inspect.Parameter:
    parameter = task.parameters.get(name)
    if parameter is not None:
        return parameter
    near = get_close_matches(name, task.parameters, n=1, cutoff=0.5)
    guess = f" Did you mean {near[0]}?" if near else ""
    raise _refusal(task, f"{task.short_name} has no argument {cut(name)}.{guess}")


def _refusal(task: TaskSignature, sentence: str) -> TaskArgumentsError:
    return TaskArgumentsError(sentence, f"The task is {task}.")


def _choices(annotation: Any) -> tuple[Any, ...]:
    is_union = get_origin(annotation) in {Union, UnionType}
    return get_args(annotation) if is_union else (annotation,)


def _parse_value(text: str, annotation: Any) -> Any:
    if set(_choices(annotation)) == {str}:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _check_value(task: TaskSignature, parameter: inspect.Parameter, value: Any) -> None:
    try:
        _text_of(value).encode()
    except UnicodeEncodeError:
        # It would be in the message's headers too, where no worker takes it.
        raise _refusal(task, f"{parameter.name} of {task.short_name} is no UTF-8 text.") from None
    choices = _choices(parameter.annotation)
    if any(_fits(value, choice) for choice in choices) and not _is_word_for_number(value, choices):
        return
    shown = shorten(_text_of(value), SHOWN_CHARACTERS, placeholder=" …")
    raise _refusal(task, f"{parameter.name} of {task.short_name} cannot be {shown}.")


def _text_of(value: Any) -> str:
    """Give a value as JSON; what only a message can hold, such as a time, as Python writes it."""
    return json.dumps(value, ensure_ascii=False, default=repr)


def _fits(value: Any, kind: Any) -> bool:
    if kind in {Any, inspect.Parameter.empty} or isinstance(kind, str):
        return True
    if kind in {int, float} and isinstance(value, bool):
        return False
    if kind is float:
        return isinstance(value, int | float)
    if isinstance(value, list) and get_origin(kind) is list:
        return all(_fits(item, get_args(kind)[0]) for item in value)
    plain = get_origin(kind) or kind
    return isinstance(value, NoneType if plain is None else plain)


def _is_word_for_number(value: Any, choices: tuple[Any, ...]) -> bool:
    """Tell text that is no number where `int | str` stands: a number, perhaps as text."""
    if not isinstance(value, str) or not {int, str} <= set(choices):
        return False
    return not value.strip().removeprefix("-").isdecimal()
