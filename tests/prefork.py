"""fairseq's commands without the five seconds that importing it takes each of them.

    python prefork.py SOCKET --serve                    a process that has imported it, and forks
    python -IS prefork.py SOCKET -m MODULE ARGUMENT...  what `python -m` does, by a fork of that one
    python -IS prefork.py SOCKET SCRIPT ARGUMENT...     what `python SCRIPT` does, likewise

Each command is a process of its own, with its own arguments, environment, folder and files. One of
fairseq's imports this package there, as a user's would; our own are forks of a second process, that
has imported it. Signals reach a command; if whoever waits for it is killed, so is it. Other calls
of Python are what they are.
"""

import gc
import json
import os
import select
import signal
import socket
import sys

MODULES = ("fairseq_cli.preprocess", "fairseq_cli.train", "fairseq_cli.generate")
MODULES += ("fairseq_cli.validate", "fairseq_cli.hydra_train", "torch.distributed.run")
OURS = "selfteach_fairseq.cli"
SCRIPTS = ("measure.py", "ddp_step.py", "stock.py")  # which import it, too
STOCK_SCRIPTS = ("peak.py",)
_LONGEST = 2**20  # bytes of a request


def main(address, *arguments):
    if arguments == ("--serve",):
        serve(address)
    elif arguments[:1] == ("-m",) and arguments[1] in (*MODULES, OURS):
        end(ask(_ours(address) if arguments[1] == OURS else address, arguments[1:]))
    elif (script := os.path.basename(arguments[0])) in (*SCRIPTS, *STOCK_SCRIPTS):
        end(ask(_ours(address) if script in SCRIPTS else address, arguments))
    os.execv(sys.executable, [sys.executable, *arguments])


def _ours(address):
    return f"{address}.ours"


def ask(address, arguments):
    """Has the command run; returns how it ended, as os.waitpid() says it."""
    request = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(address)
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        process = int(connection.recv(64))
        send = kill_of(arguments)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: send(process, number))
        return int(connection.recv(64))


def kill_of(arguments):
    """What reaches a command: of one that leaves the work to another one, both."""
    leaves_it = arguments[0].endswith(".py") or "gradual" in arguments[1:2]
    return os.killpg if leaves_it else os.kill


def end(status):
    """Ends as the command did."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def serve(address):
    import logging

    import fairseq.tasks  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import rouge_score.rouge_scorer  # noqa: F401
    import sacrebleu.metrics  # noqa: F401
    import torch._dynamo  # noqa: F401  which whatever builds a model, or an optimizer, imports

    logging.root.handlers.clear()  # a command sets up its own
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how an attendant ended
    remember_settings()
    gc.freeze()  # or a command's first collection copies all of it
    stock, ours = listen(address), listen(_ours(address))
    print("ready", flush=True)
    python = os.path.join(os.path.dirname(address), "python")
    if os.fork() == 0:
        end_with_its_parent()
        stock.close()
        __import__(OURS)
        del sys.modules[OURS]  # which is run by this name
        for criterion in ("label_smoothed_ce_selfteach", "label_smoothed_cross_entropy"):
            words = ("data", "--arch", "transformer_selfteach_tiny", "--optimizer", "adam")
            settings_of(*words, "--criterion", criterion)
        gc.freeze()
        accept(ours, python)
    ours.close()
    accept(stock, python)


def remember_settings():
    """hydra parses some 280 words for a command line, most of them the same for each of them.

    Of the same words with other values only those are set, as hydra sets them: composing takes it
    a third of a second.
    """
    import copy

    import fairseq.dataclass.utils
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    parse, parsed = OverridesParser.parse_rule, {}
    compose, composed = fairseq.dataclass.utils.compose, {}

    def parse_rule(self, words, rule):
        if (words, rule) not in parsed:
            parsed[words, rule] = parse(self, words, rule)
        return copy.copy(parsed[words, rule])

    def compose_settings(name, overrides, strict):
        names = [word.partition("=")[0] for word in overrides]
        groups = [word for word in overrides if "." not in word.partition("=")[0]]
        kind = (name, *names, *groups, strict)
        if kind not in composed:
            settings = compose(name, overrides=overrides, strict=strict)
            composed[kind] = settings, frozenset(overrides)
        settings, words = copy.deepcopy(composed[kind][0]), composed[kind][1]
        other = [word for word in overrides if word not in words]
        for override in OverridesParser.create().parse_overrides(other):
            OmegaConf.update(settings, override.key_or_group, override.value(), merge=True)
        return settings

    OverridesParser.parse_rule = parse_rule
    fairseq.dataclass.utils.compose = compose_settings
    settings_of("data", "--arch", "transformer_tiny", "--optimizer", "adam")


def settings_of(*words):
    """fairseq's configuration for a training's command line."""
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    parser = options.get_training_parser()
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, [*words]))


def listen(address):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen()
    return listener


def end_with_its_parent():
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def accept(listener, python):
    """Has each command attended by a process of its own."""
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            attend(connection, python)
        connection.close()


def attend(connection, python):
    """Starts a command, tells how it ended, and ends."""
    content, files, *_ = socket.recv_fds(connection, _LONGEST, 3)
    request = json.loads(content)
    process = os.fork()
    if process == 0:
        connection.close()
        sys.executable = python  # for commands that run commands
        execute(request, files)
    for file in files:
        os.close(file)
    connection.send(str(process).encode())
    ended = os.pidfd_open(process)
    ready, *_ = select.select([ended, connection], [], [])
    if ended not in ready:  # whoever waited has been killed
        kill_of(request["arguments"])(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if ended in ready:
        connection.send(str(status).encode())
    os._exit(0)


def execute(request, files):
    """Becomes the command, and ends with it."""
    import atexit
    import runpy
    import warnings

    os.setsid()
    # Tests that run in a shell's background are not told of Ctrl-C; commands under test are.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    if kind := os.environ.get("PYTHONWARNINGS"):
        warnings.simplefilter(kind)
    command = request["arguments"][0]
    is_script = command.endswith(".py")
    sys.argv = request["arguments"]
    first = os.path.dirname(os.path.abspath(command)) if is_script else os.getcwd()
    sys.path[:1] = [first, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    code = 0
    try:
        if is_script:
            runpy.run_path(command, run_name="__main__")
        else:
            runpy.run_module(command, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        code = error.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code & 255)


if __name__ == "__main__":
    main(*sys.argv[1:])
