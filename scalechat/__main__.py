"""``python -m scalechat``."""

from scalechat.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
