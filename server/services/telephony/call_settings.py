"""People's own settings for calls to them: they may be stricter than the operator's, never less strict."""

from __future__ import annotations

from protocol.attestation import Attestation, CallSettings, CallSettingsAnswer
from storage.telephony.call_settings import CallSettingStore


class OwnCallSettings:
    """A person's own settings. Raises StorageUnavailable. ``setting``: the operator's."""

    def __init__(self, store: CallSettingStore, setting: Attestation) -> None:
        self._store = store
        self._setting = setting

    async def get(self, person_id: int) -> CallSettingsAnswer:
        """Return the person's own setting, and the one in force."""
        own = await self._store.attestation(person_id)
        return CallSettingsAnswer(own, self._setting.at_least(own).policy)  # type: ignore[arg-type]

    async def put(self, person_id: int, settings: CallSettings) -> CallSettingsAnswer:
        """Store the person's own setting. It applies from the next call on."""
        await self._store.put_attestation(person_id, settings.attestation)
        return await self.get(person_id)
