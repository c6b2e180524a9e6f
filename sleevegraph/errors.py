"""What can go wrong, as a small tree: catch only the branch you mean."""


class SleevegraphError(Exception):
    """Any error that Sleevegraph raises on purpose; its text is one line for a person."""


class ConfigurationError(SleevegraphError):
    """A manifest, command or setting that cannot be run as written."""


class BarsError(SleevegraphError):
    """Market bars that break the bar contract."""


class ArchiveError(SleevegraphError):
    """A file, page or answer of an exchange that is not what its name, listing or checksum says."""


class TransferError(SleevegraphError):
    """An answer that a host would not give, after every retry."""


class MissingFeatureError(SleevegraphError):
    """A selection feature that a rule needs and the data does not give."""


class SignalError(SleevegraphError):
    """Scores of a logic's own signal that are none, or cannot be had."""


class IdentityError(SleevegraphError):
    """An accounting identity that does not hold."""


class GateError(SleevegraphError):
    """A receipt that is absent or stale where a certified input is needed."""


class LakeError(SleevegraphError):
    """A stored partition that is absent, unreadable or of another shape."""


class AuditError(SleevegraphError):
    """A ledger or bundle that is not what it says it is, or cannot be read."""
