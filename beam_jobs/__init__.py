"""The Beam job that turns a folder of image/mask pairs into a data set.

`prepare_dataset` is the command, `pipeline` the job without flags, `transforms` its steps, `runners` the engine of this
machine, `worker` its processes; `inputs` finds the sources, `progress` and `process_memory` belong to every job.
"""

import logging

import seg_pipeline  # noqa: F401 (first: while a command imports Beam, Ctrl-C ends it without a traceback)

# Without the gcp extra, importing Beam warns through the root logger, which does not concern the user of this job and
# installs a log handler that then repeats every message. A handler that is there already prevents both.
_silence = logging.NullHandler()
logging.getLogger().addHandler(_silence)
import apache_beam  # noqa: E402, F401

logging.getLogger().removeHandler(_silence)
