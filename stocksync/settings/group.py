"""Group: settings that are asked for together, and the names that they have outside."""

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "STOCK_SYNC_"
ALSO_KNOWN_AS = {
    "STOCK_SYNC_MICROSERVICE_URL": "ALLEGRO_MICROSERVICE_BASE_URL",
    "STOCK_SYNC_MICROSERVICE_JWT": "ALLEGRO_MICROSERVICE_JWT_TOKEN",
}
"""Names under which the order system has the same values."""


class Group(BaseSettings):
    """Settings that are asked for together; a field's name is the variable's in lower case."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        # A command builds only the groups that it asks for.
        defer_build=True,
    )

    @classmethod
    def names(cls) -> dict[str, str]:
        """Each field and its variable."""
        return {field: f"{PREFIX}{field.upper()}" for field in cls.model_fields}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings calls it by name
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **_others: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what was found in the places (`places` says why they are ours), nothing else."""
        return (init_settings,)
