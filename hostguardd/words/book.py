"""Which room has the words for a kind of fact. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..fact import Fact
from ..facts.accounts import AccountFact, KeyFact
from ..facts.hidden import HiddenFact
from ..facts.kernel import ModuleFact, MountFact, SettingFact
from ..facts.logs import EventFact, LogFact, LoginFact
from . import accounts, hidden, kernel, logs
from .interface import Words

BOOK: Mapping[type[Fact], Words] = {
    AccountFact: accounts.ACCOUNT,
    KeyFact: accounts.KEY,
    MountFact: kernel.MOUNT,
    ModuleFact: kernel.MODULE,
    SettingFact: kernel.SETTING,
    LogFact: logs.LOG,
    LoginFact: logs.LOGIN,
    EventFact: logs.EVENT,
    HiddenFact: hidden.HIDDEN,
}
