"""What the installed d4rl says, read without importing it: its __init__ loads dm_control and every renderer."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest


def folder():
    found = importlib.util.find_spec("d4rl")
    if found is None:
        pytest.skip("d4rl is not installed; docs/how-to/install-environments.md says how")
    return Path(found.submodule_search_locations[0])


def load(path):
    """A module of d4rl by its file, such as ``infos.py``."""
    found = importlib.util.spec_from_file_location(f"d4rl_{Path(path).stem}", folder() / path)
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


def class_constant(path, class_name, name):
    """A literal of a class body in a file that cannot be imported."""
    tree = ast.parse((folder() / path).read_text(encoding="utf-8"))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name).body
    value = next(node.value for node in body if isinstance(node, ast.Assign) and node.targets[0].id == name)
    return ast.literal_eval(value)


def registered(path):
    """Environments that a file registers: name -> (entry point, step limit, source of its maze or None)."""
    calls = [node for node in ast.walk(ast.parse((folder() / path).read_text(encoding="utf-8")))
             if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "register"]  # fmt: skip
    found = {}
    for call in calls:
        given = {word.arg: word.value for word in call.keywords}
        inner = dict(zip(map(ast.unparse, given["kwargs"].keys), map(ast.unparse, given["kwargs"].values),
                         strict=True))  # fmt: skip
        entry = ast.literal_eval(given["entry_point"])
        found[ast.literal_eval(given["id"])] = (
            entry, ast.literal_eval(given["max_episode_steps"]), inner.get("'maze_map'")
        )  # fmt: skip
    return found
