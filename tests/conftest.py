"""What all tests share: hypothesis draws the same examples in every run; the end of a run says what was left out."""

import signal
from collections.abc import Generator

import hypothesis
import pytest

from tests import optional

hypothesis.settings.register_profile('seeded', deadline=None, derandomize=True)
hypothesis.settings.load_profile('seeded')

# A shell starts what runs behind with SIGINT ignored, nohup with SIGHUP, and so would be every command of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        '--fail-on-skips', action='store_true', help='Fails if a test is skipped that tests/optional.py does not allow.'
    )


def _reasons(config: pytest.Config) -> list[str]:
    """The reasons of all skips, collected from all processes."""
    reporter = config.pluginmanager.get_plugin('terminalreporter')
    if reporter is None:  # a worker of pytest-xdist: its controller knows
        return []
    skipped = reporter.stats.get('skipped', [])
    return [report.longrepr[2].removeprefix('Skipped: ') for report in skipped if isinstance(report.longrepr, tuple)]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    wrong = optional.not_allowed(_reasons(session.config))
    if session.config.getoption('--fail-on-skips') and wrong and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest's own, which lists each skip: the one line comes after it
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    yield
    reasons = _reasons(config)
    if line := optional.summary(reasons):
        terminalreporter.write_line(line)
    if config.getoption('--fail-on-skips'):
        for reason in dict.fromkeys(optional.not_allowed(reasons)):
            terminalreporter.write_line(f'not allowed to be skipped: {reason}', red=True)
