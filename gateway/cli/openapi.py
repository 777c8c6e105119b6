"""`openapi`: the OpenAPI document, for programs that write clients."""

import click

from gateway.application import Gateway
from gateway.cli.examples import example
from gateway.cli.parameters import pass_settings
from gateway.cli.reporting import echo_json
from gateway.identity.chain import NO_CREDENTIALS
from gateway.settings import Settings


@click.command(epilog=example("gateway openapi > gateway.json"))
@pass_settings
def openapi(settings: Settings) -> None:
    """Prints the OpenAPI document of the HTTP API.

    It is that of /-/openapi.json, and needs no database and no key. What the settings turn off is
    not in it.
    """
    echo_json(Gateway(settings, NO_CREDENTIALS).openapi())
