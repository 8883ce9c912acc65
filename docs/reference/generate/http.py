"""The OpenAPI document of a server, and a table of what it describes."""

from __future__ import annotations

from docs.reference.generate.markdown import code, table
from scalechat.config import ServeConfig
from scalechat.server.node import Node

Json = dict[str, object]


def document() -> Json:
    """As `/openapi.json` has it; the version is the package's."""
    found: Json = Node(ServeConfig(), 4096).app.openapi()
    return found


def paths() -> str:
    """Each operation: its query, what it is for, and what it answers."""
    rows = []
    described = document()["paths"]
    assert isinstance(described, dict)
    for path, operations in described.items():
        for method, operation in operations.items():
            query = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"]
            asked = f"{method.upper()} {path}{'?' if query else ''}{'&'.join(query)}"
            answers = ", ".join(operation["responses"])
            rows.append((code(asked), operation["description"].replace("\n", " "), answers))
    return table(("operation", "what", "answers"), rows)
