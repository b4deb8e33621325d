"""Run a command until Ctrl-C or SIGTERM, close everything it opened, and print one line if it fails."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import aiohttp
import typer

from buzz_client import BuzzError
from server.cli.output import complain
from server.cli.unreachable import in_words


def run_until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, or until a signal; then everything is closed as at the end.

    Raises typer.Exit with status 1 after an error, which is printed on standard error.
    """
    try:
        asyncio.run(_run(work))
    except (BuzzError, aiohttp.ClientError, OSError, ValueError) as error:
        if isinstance(error, BrokenPipeError):
            _forget_standard_output()
            return
        complain(in_words(error))
        raise typer.Exit(1) from error


async def first_to_end(*work: Coroutine[Any, Any, None]) -> None:
    """Run these concurrently until one ends, then stop the others. Raises its error, if any."""
    tasks = [asyncio.create_task(each, name=f"command-{number}") for number, each in enumerate(work)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _run(work: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(work, name="command")
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return


def _forget_standard_output() -> None:
    """Redirect standard output after its reader has closed (``| head``), so that nothing is flushed there at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
