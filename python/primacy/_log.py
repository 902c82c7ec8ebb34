"""The log of the package, which is the host's to configure."""

import logging

log = logging.getLogger("primacy")
log.addHandler(logging.NullHandler())  # where the host configures no logging, nothing goes to stderr
