"""Errors that a user of agents can cause, each with its remedy in the message."""


class AgentError(RuntimeError):
    """Base of every error that this package raises on purpose."""


class DatasetError(AgentError):
    """A dataset is missing, damaged or of the wrong shape."""


class EnvironmentUnavailable(AgentError):
    """An environment is unknown, or what it needs is not installed."""


class DeviceError(AgentError):
    """A device that was asked for does not exist or lacks memory."""
