"""The command line: `deixis ask photo.jpg "Which cup is full?"`."""


def main() -> None:
    """Run the command that the arguments name, and leave with its exit code."""
    from deixis.cli.app import app
    from deixis.cli.faults import run

    run(app)
