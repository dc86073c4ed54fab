"""The JSON schema of the config, exported to workflow/schemas/ for editors and readers."""

from pathlib import Path

import orjson

from campaign.config.campaign import CampaignConfig

SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "config.schema.json"


def as_json() -> bytes:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **CampaignConfig.model_json_schema()}
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main() -> None:
    """Write the schema: `python -m campaign.config.schema`, or with all pages `python -m campaign.cli.docs`."""
    SCHEMA_FILE.write_bytes(as_json())


if __name__ == "__main__":
    main()
