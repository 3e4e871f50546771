"""Names the functions of a source file with their parameters and annotations.

Runs inside the sandbox: the source is parsed, never executed. The answer is JSON, read by
`signature.rs`; the two change together.
"""

import ast
import json

MAX_TEXT = 200
MAX_DEPTH = 32


def describe(source: str) -> str:
    try:
        module = ast.parse(source)
    except SyntaxError as error:
        return json.dumps({
            "syntax_error": {
                "message": str(error.msg),
                "line": error.lineno,
                "column": error.offset,
                "text": (error.text or "").rstrip()[:MAX_TEXT],
            }
        })
    functions = {}
    for name, node in definitions(module.body):
        functions.pop(name, None)  # the last definition counts, and its place in the file
        functions[name] = function(name, node)
    return json.dumps({"functions": list(functions.values())})


def definitions(body):
    """Functions that executing the module would bind at its top level, in order."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, node
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Lambda() as value):
                yield name, value
            case ast.If() | ast.Try() | ast.TryStar() | ast.With():
                for part in ("body", "handlers", "orelse", "finalbody"):
                    yield from definitions(getattr(node, part, []))
            case ast.ExceptHandler():
                yield from definitions(node.body)


def function(name, node):
    arguments = node.args
    positional = arguments.posonlyargs + arguments.args
    defaults = len(positional) - len(arguments.defaults)
    parameters = [
        parameter(argument, "positional", index >= defaults) for index, argument in enumerate(positional)
    ]
    if arguments.vararg:
        parameters.append(parameter(arguments.vararg, "var_positional", True))
    parameters += [
        parameter(argument, "keyword", default is not None)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults)
    ]
    if arguments.kwarg:
        parameters.append(parameter(arguments.kwarg, "var_keyword", True))
    return {
        "name": name,
        "line": node.lineno,
        "coroutine": isinstance(node, ast.AsyncFunctionDef),
        "parameters": parameters,
        "returns": annotation(getattr(node, "returns", None)),
    }


def parameter(argument, kind, optional):
    return {
        "name": argument.arg,
        "kind": kind,
        "optional": optional,
        "annotation": annotation(argument.annotation),
    }


def annotation(node, depth=0):
    """`list[int | None]` as a tree of names; a name is missing where the tree cannot be read."""
    if node is None:
        return None
    name, arguments = None, []
    if depth < MAX_DEPTH:
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                pass
            case ast.Constant(value=None):
                name = "None"
            case ast.Constant(value=str() as text):
                try:
                    return annotation(ast.parse(text, mode="eval").body, depth + 1)
                except SyntaxError:
                    pass
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                name, arguments = "Union", [left, right]
            case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=ast.Tuple(elts=arguments)):
                pass
            case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=argument):
                arguments = [argument]
    return {
        "text": ast.unparse(node)[:MAX_TEXT],
        "name": name,
        "arguments": [annotation(argument, depth + 1) for argument in arguments],
    }
