"""The exact versions in this environment: ``python -m tests.versions > requirements-tested.txt``."""

from importlib.metadata import distributions

HEADER = "# Exact versions that were tested together; the Makefile installs these. Made by `python -m tests.versions`."
LEFT_OUT = {"clean-priority-book", "pip", "setuptools", "wheel"}


def main() -> None:
    found = {d.metadata["Name"].lower().replace("_", "-"): d.version.split("+")[0] for d in distributions()}
    print(HEADER)
    for name in sorted(found.keys() - LEFT_OUT):
        print(f"{name}=={found[name]}")


if __name__ == "__main__":
    main()
