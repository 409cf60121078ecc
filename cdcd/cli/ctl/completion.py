"""`cdcctl completion`."""

import click
from click.shell_completion import get_completion_class

from cdcd.cli.ctl.output import say

VARIABLE = "_CDCCTL_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what lets a shell complete verbs, options, and names of instances and servers.

    Names come from ZooKeeper while you type; when it is away there are none, without a message.

    \b
    Examples:
        $ source <(cdcctl completion bash)               # in ~/.bashrc
        $ source <(cdcctl completion zsh)                # in ~/.zshrc
        $ cdcctl completion fish > ~/.config/fish/completions/cdcctl.fish

    Exit status: 0 ok, 2 usage.
    """
    of_shell = get_completion_class(shell)
    assert of_shell is not None
    made = of_shell(context.find_root().command, {}, "cdcctl", VARIABLE)
    # Not `source()`: that asks the bash of this machine for its version.
    say(made.source_template % made.source_vars())
