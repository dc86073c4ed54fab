"""The endpoints of vLLM's server that requests can go to: all that is known of one stands in its entry here.

A new one needs its entry, its name in config.datasets, and a reader where its reply has another form. (Where a
running server is reached is in server.server_state.)
"""

from collections.abc import Collection, Mapping

from campaign.core.tables import POOLED, Column
from campaign.requests.endpoints.api import Api
from campaign.requests.endpoints.generation import CHAT, COMPLETIONS, GENERATION
from campaign.requests.endpoints.pooling import POOLING

__all__ = ["APIS", "APIS_BY_ROUTE", "CHAT", "COMPLETIONS", "Api", "pooled_columns"]

APIS: Mapping[str, Api] = {api.name: api for api in (*GENERATION, *POOLING)}
APIS_BY_ROUTE: Mapping[str, Api] = {route: api for api in APIS.values() for route in (api.route, *api.aliases)}


def pooled_columns(endpoints: Collection[str]) -> tuple[Column, ...]:
    """The columns of tables.POOLED that requests to these endpoints fill. Names that are no endpoint's fill none."""
    filled = {name for endpoint in endpoints if endpoint in APIS for name in APIS[endpoint].columns}
    return tuple(column for column in POOLED.columns if column.name in filled)
