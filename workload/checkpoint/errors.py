"""What can go wrong with checkpoints.

CheckpointError         they cannot be used as asked
    SaveError           this save failed; the program may go on
StoppedError            the program was asked to leave, and has saved: a SystemExit with its code
"""


class CheckpointError(Exception):
    """Checkpoints cannot be used as asked. Raised on all ranks alike; the text says what to do."""


class SaveError(CheckpointError):
    """A save that failed. The last good checkpoint is what it was; the program may go on."""


class StoppedError(SystemExit):
    """The program was asked to leave and has saved: `code` is 213 or 224. Let it through."""
