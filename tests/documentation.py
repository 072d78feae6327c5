"""The generated parts of the documentation. `python -m tests.documentation` writes them anew."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.completion import get_completion_script

import ibutsu_tasks
from ibutsu_tasks.celery_app import tasks_of
from ibutsu_tasks.cli import COMMANDS, PROGRAM
from ibutsu_tasks.cli.exit_codes import MEANINGS
from ibutsu_tasks.ibutsu.package import PACKAGE as IBUTSU
from ibutsu_tasks.settings import all_rows
from ibutsu_tasks.settings.values import NONE, default_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = Path(ibutsu_tasks.__file__).parent
ROOT = PACKAGE.parent
README = ROOT / "README.md"
MAP = PACKAGE / "README.md"
IN_PRODUCTION = ROOT / "examples/README.md"
OWN_TASKS = PACKAGE / "packages/README.md"
PAGES = (README, MAP)
COMPLETIONS = ROOT / "completions"
SIGNATURES = PACKAGE / "ibutsu/signatures.py"

LINE_LENGTH = 110

SIGNATURES_HEAD = '''"""What every task takes, without its code: a message is checked against it.

Generated from `ibutsu_tasks/ibutsu/tasks`; `python -m tests.documentation` writes it anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
'''

SHELLS = {
    "bash": f"{PROGRAM}.bash",
    "zsh": f"_{PROGRAM}",
    "fish": f"{PROGRAM}.fish",
    "powershell": f"{PROGRAM}.ps1",
}


def lines_of(heading: str, page: Path = README) -> list[str]:
    """Give the commands of the blocks below a heading of a page."""
    blocks = re.findall(r"```console\n(.*?)```", _section(heading, page), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if not line.startswith("#")]


def python_of(heading: str, page: Path = OWN_TASKS) -> list[str]:
    """Give the Python of the blocks below a heading of a page."""
    return re.findall(r"```python\n(.*?)```", _section(heading, page), re.DOTALL)


def _section(heading: str, page: Path) -> str:
    return page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def commands_table() -> str:
    lines = [f"| `{row.name}` | {row.summary} |" for row in COMMANDS]
    return "\n".join(["| Command | What it does |", "|---|---|", *lines])


def exit_codes_table() -> str:
    lines = [f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| Code | Meaning |", "|---|---|", *lines])


def settings_table() -> str:
    lines = []
    for row in all_rows().values():
        first, *others = (f"`{name}`" for name in row.variables)
        also = f" (also {', '.join(others)})" if others else ""
        default = "none" if default_of(row) == NONE else default_of(row)
        lines.append(f"| {first}{also} | {default} | {row.help} |")
    return "\n".join(["| Variable | Default | Meaning |", "|---|---|---|", *lines])


def code_map() -> str:
    return "\n".join(["```text", *_lines_of(PACKAGE, ""), "```"])


def _lines_of(folder: Path, indent: str) -> Iterator[str]:
    for path in sorted(filter(_is_module, folder.iterdir()), key=lambda path: (path.is_file(), path.name)):
        name = f"{indent}{path.stem}{'/' if path.is_dir() else ''}"
        yield f"{name:<28} {_summary(path)}"
        if path.is_dir():
            yield from _lines_of(path, f"{indent}  ")


def _is_module(path: Path) -> bool:
    if path.is_dir():
        return (path / "__init__.py").exists()
    return path.suffix == ".py" and path.stem not in {"__init__", "__main__"}


def _summary(path: Path) -> str:
    source = path / "__init__.py" if path.is_dir() else path
    docstring = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def completion_script(shell: str) -> str:
    script = get_completion_script(prog_name=PROGRAM, complete_var="_IBUTSU_TASKS_COMPLETE", shell=shell)
    if shell == "zsh":
        # Typer's script does nothing when zsh loads it from its fpath; there, the function itself is called.
        head, _, tail = script.rpartition("compdef ")
        function = tail.split()[0]
        script = (
            f"{head}if [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n"
            f'  {function} "$@"\nelse\n  compdef {tail}\nfi'
        )
    return f"{script}\n"


def signatures_module() -> str:
    """One empty function per task: its parameters, and the first line of its docstring."""
    tasks = {name: task.run for name, task in sorted(tasks_of(IBUTSU).items())}
    functions = [_stub(name.rpartition(".")[2], run) for name, run in tasks.items()]
    entries = [f'    "{name}": {name.rpartition(".")[2]},' for name in tasks]
    return "\n".join(
        [SIGNATURES_HEAD, *functions, "", "STUBS: dict[str, Callable[..., None]] = {", *entries, "}", ""]
    )


def _stub(name: str, run: Callable[..., Any]) -> str:
    parameters = [_parameter(one) for one in inspect.signature(run, eval_str=True).parameters.values()]
    head = f"def {name}({', '.join(parameters)}) -> None:"
    if len(head) > LINE_LENGTH:
        head = "\n".join([f"def {name}(", *(f"    {one}," for one in parameters), ") -> None:"])
    summary = (inspect.getdoc(run) or "").partition("\n")[0]
    return f'\n{head}\n    """{summary}"""\n'


def _parameter(one: inspect.Parameter) -> str:
    return str(one).replace("typing.", "").replace("'", '"')


BLOCKS = {
    "commands": commands_table,
    "exit-codes": exit_codes_table,
    "settings": settings_table,
    "map": code_map,
}


def with_generated_blocks(text: str) -> str:
    for name, render in BLOCKS.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, render=render: f"{match[1]}{render()}\n{match[2]}", text)  # type: ignore[misc]
    return text


def main() -> None:
    for page in PAGES:
        page.write_text(with_generated_blocks(page.read_text(encoding="utf-8")), encoding="utf-8")
    SIGNATURES.write_text(signatures_module(), encoding="utf-8")
    COMPLETIONS.mkdir(exist_ok=True)
    for shell, name in SHELLS.items():
        (COMPLETIONS / name).write_text(completion_script(shell), encoding="utf-8")


if __name__ == "__main__":
    main()
