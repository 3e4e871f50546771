"""Makes a page and a picture of what a benchmark of `benches/house` found: `render.py FOUND FOLDER`.

Writes NAME.json, NAME.md and NAME.svg into the folder, with machine, versions and day.
"""

import json
import pathlib
import sys

import plot
from machine import machine


def chart(found):
    if found["kind"] == "bars":
        groups = [(label, dict(zip(found["names"], values))) for label, values in found["groups"]]
        return plot.bars(found["title"], found["names"], groups)
    return plot.lines(found["title"], found["x"], found["y"], dict(found["series"]))


def table(found):
    rows = [found["columns"], ["---"] * len(found["columns"]), *found["rows"]]
    return f"\n## {found['title']}\n\n" + "".join("| " + " | ".join(row) + " |\n" for row in rows)


def main():
    found = json.loads(pathlib.Path(sys.argv[1]).read_text())
    folder, name, about = pathlib.Path(sys.argv[2]), found["name"], machine("at the end")
    folder.mkdir(parents=True, exist_ok=True)
    text = f"# {found['title']}\n\nMade by `cargo xtask bench {name}`.\n\n"
    text += "".join(f"{paragraph}\n\n" for paragraph in found["method"])
    text += "".join(f"* {key}: {value}\n" for key, value in about.items())
    text += "".join(table(each) for each in found["tables"])
    (folder / f"{name}.md").write_text(text)
    (folder / f"{name}.json").write_text(json.dumps({"machine": about} | found, indent=1, ensure_ascii=False) + "\n")
    if found["charts"]:
        (folder / f"{name}.svg").write_text(plot.page([chart(each) for each in found["charts"]]))
    print(f"\n{text}")


if __name__ == "__main__":
    main()
