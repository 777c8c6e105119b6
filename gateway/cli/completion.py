"""`completion`: lets a shell complete commands, options and slugs. click knows the shells."""

import click
from click.shell_completion import get_completion_class

from gateway.cli.examples import example


@click.command(epilog=example('eval "$(gateway completion bash)"'))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Prints a script by which a shell completes commands.

    \b
    bash, in ~/.bashrc:  eval "$(gateway completion bash)"
    zsh, in ~/.zshrc:    eval "$(gateway completion zsh)"
    fish:  gateway completion fish > ~/.config/fish/completions/gateway.fish
    """
    completer = get_completion_class(shell)
    if completer is None:  # the choices are click's own shells
        raise LookupError(shell)
    click.echo(completer(ctx.find_root().command, {}, "gateway", "_GATEWAY_COMPLETE").source())
