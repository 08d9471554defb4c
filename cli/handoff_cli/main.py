"""`handoff`: the local stack, and what people do with a running system."""

import typer

from handoff_cli import contracts, replaying, sending, setting_aside, stack

app = typer.Typer(
    help="Handoff: between the marketing tool and the sales rep.", no_args_is_help=True, pretty_exceptions_enable=False
)
for command in (stack.up, stack.status, stack.down, stack.token):
    app.command()(command)
app.command()(sending.send)
app.command()(replaying.replay)
app.add_typer(sending.connection, name="connection")
app.add_typer(setting_aside.parked, name="parked")
app.add_typer(contracts.definition, name="definition")
app.add_typer(contracts.policy, name="policy")


if __name__ == "__main__":
    app()
