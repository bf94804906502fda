"""The folders of the library are layers: a module imports from its own and from lower ones, and never in a circle."""

import ast
from functools import lru_cache
from graphlib import TopologicalSorter
from pathlib import Path

import ai_library

ROOT = Path(ai_library.__file__).parent
LAYERS = [
    {"errors"},
    {"files", "runtime"},
    {"data", "data.images"},
    {"data.folders"},
    {"networks"},
    {"evaluation"},
    {"training", "reporting", "export"},
    {"laboratory"},
]
"""From the bottom up. Folders of one layer do not import each other."""
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 360, 70


def module_name(path):
    return ".".join(("ai_library", *path.relative_to(ROOT).with_suffix("").parts))


def is_own(path):
    """Whether a file is of this package: an environment or a build may stand beside its folders."""
    top = ROOT / path.relative_to(ROOT).parts[0]
    return top.is_file() or (top / "__init__.py").is_file()


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py")) if is_own(path)}
MODULES = [name for name in FILES if ".tests." not in name and not name.endswith("__init__")]


@lru_cache
def parsed(name):
    """The text of a module, and the nodes of its syntax tree that several tests look at."""
    text, kinds = FILES[name].read_text(), (ast.Import, ast.ImportFrom, ast.If, ast.FunctionDef)
    return text, [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]


def imports(name, outside=None):
    """The imports of a module, also those within functions, as {module: "file:line imports module"}; `outside` leaves
    out those that an `if` on such a name guards.
    """
    (_, nodes), found = parsed(name), {}
    guards = [node for node in nodes if isinstance(node, ast.If) and outside and outside in ast.unparse(node.test)]
    guarded = {inner for guard in guards for inner in ast.walk(guard)}
    for node in nodes:
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = name.split(".")[: -node.level] if node.level else []
            package = [*above, *filter(None, [node.module])]
            members = [".".join([*package, alias.name]) for alias in node.names]
            modules = [member if member in FILES else ".".join(package) for member in members]
        if node not in guarded:
            found |= {each: f"{FILES[name].relative_to(ROOT)}:{node.lineno} imports {each}" for each in modules}
    return found


def folder(name):
    """The folder that a module lies in, as "data.images"; of errors.py, which lies in none, its own name."""
    parts = name.split(".")[1:]
    return ".".join(parts[:-1] or parts)


def height(name):
    """The layer of a module; the package itself, which knows all of them, lies above."""
    return next((i for i, folders in enumerate(LAYERS) if folder(name) in folders), len(LAYERS))


def test_every_folder_has_its_layer():
    assert {folder(name) for name in MODULES} == set().union(*LAYERS)


def test_imports_go_downwards():
    wrong = [
        line
        for name in MODULES
        for module, line in imports(name).items()
        if module.split(".")[0] == "ai_library" and folder(module) != folder(name)
        if height(module) >= height(name)
    ]
    assert not wrong, "a folder must import only from lower ones:\n" + "\n".join(wrong)


def test_the_library_knows_no_application():
    lines = [line for name in FILES for module, line in imports(name).items() if module.startswith("ai_application")]
    assert not lines, "the library and its tests must run without the application:\n" + "\n".join(lines)


def test_modules_do_not_import_each_other_in_a_circle():
    graph = {name: imports(name, outside="TYPE_CHECKING").keys() & set(MODULES) for name in MODULES}
    TopologicalSorter(graph).prepare()  # its error names the circle


def test_no_module_imports_what_only_posix_systems_have():
    posix = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios"}
    found = [imports(name, outside="sys.platform") for name in MODULES]
    lines = [each[module] for each in found for module in each.keys() & posix]
    assert not lines, "Windows has no such module:\n" + "\n".join(lines)


def test_files_and_functions_are_short_enough_to_be_read_in_one_sitting():
    long = []
    for name, path in FILES.items():
        text, nodes = parsed(name)
        sizes = {"": (text.count("\n"), MOST_LINES_OF_A_FILE)}
        for node in nodes:
            if isinstance(node, ast.FunctionDef):
                sizes[f"{node.name}() has "] = (node.end_lineno - node.lineno + 1, MOST_LINES_OF_A_FUNCTION)
        long += [f"{path.relative_to(ROOT)}: {what}{n} lines" for what, (n, most) in sizes.items() if n > most]
    assert not long, "split what is long by concept:\n" + "\n".join(long)
