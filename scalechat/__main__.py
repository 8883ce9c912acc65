"""``python -m scalechat``."""

if __name__ == "__main__":
    try:
        from scalechat.cli import main
    except KeyboardInterrupt:  # Ctrl-C while still importing
        raise SystemExit(130) from None
    raise SystemExit(main())
