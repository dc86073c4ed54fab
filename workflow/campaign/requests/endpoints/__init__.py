"""The endpoints of vLLM's server that requests can go to: all that is known of one stands in its entry here.

A new one needs its entry, its name in config.datasets.EndpointName, and a reader where its reply has another form. (Where a
running server is reached is in server.server_state.)
"""

from collections.abc import Mapping

from campaign.requests.endpoints.api import Api
from campaign.requests.endpoints.generation import CHAT, COMPLETIONS, GENERATION
from campaign.requests.endpoints.pooling import POOLING

__all__ = ["APIS", "APIS_BY_ROUTE", "CHAT", "COMPLETIONS", "Api"]

APIS: Mapping[str, Api] = {api.name: api for api in (*GENERATION, *POOLING)}
APIS_BY_ROUTE: Mapping[str, Api] = {route: api for api in APIS.values() for route in (api.route, *api.aliases)}
