"""The Beam job that turns a folder of image/mask pairs into a data set."""

import logging

# Without the gcp extra, importing Beam warns through the root logger, which tells nothing to anyone who runs this job
# and installs a log handler that then repeats every message. A handler that is there already prevents both.
_silence = logging.NullHandler()
logging.getLogger().addHandler(_silence)
import apache_beam  # noqa: E402, F401

logging.getLogger().removeHandler(_silence)
