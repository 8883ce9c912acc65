"""``python -m docs.reference.generate``, from the top of the repository: write what is generated."""

from docs.reference.generate.pages import generated

if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
