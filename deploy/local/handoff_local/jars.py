"""Kafka's jars, by their Maven coordinates, checked against kafka-jars.lock and kept in the user's cache."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final

from handoff_local import children

LOCK: Final = Path(__file__).with_name("kafka-jars.lock")
DOWNLOADS_AT_ONCE: Final = 8

Progress = Callable[[int, int], None]
"""Called with how many jars are there, of how many."""


@dataclass(frozen=True, slots=True)
class Jar:
    """A pinned artifact."""

    group: str
    artifact: str
    version: str
    sha256: str

    def path(self, cache: Path) -> Path:
        """Return where the cache keeps it."""
        return cache / f"{self.group}.{self.artifact}-{self.version}.jar"

    def is_in(self, cache: Path) -> bool:
        """Say whether the cache has it whole: a start that was cut short may have left less."""
        try:
            return sha256(self.path(cache).read_bytes()).hexdigest() == self.sha256
        except OSError:
            return False


def pinned() -> list[Jar]:
    """Return what the lock names."""
    jars = []
    for line in LOCK.read_text().splitlines():
        coordinates, digest = line.split()
        group, artifact, version = coordinates.split(":")
        jars.append(Jar(group, artifact, version, digest))
    return jars


def cache_folder() -> Path:
    """Return the folder of the user's cache that is ours."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "handoff" / "jars"


def class_path(progress: Progress = lambda _done, _of: None) -> list[Path]:
    """Return every jar, downloading what is missing. StartFault when a jar cannot be had, or is not what was pinned."""
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(cache, error) from error
    jars = pinned()
    missing = [jar for jar in jars if not jar.is_in(cache)]
    done = len(jars) - len(missing)
    if missing:
        progress(done, len(jars))
        for outcome in _download_all(missing, cache):
            if outcome is not None:
                raise outcome
            done += 1
            progress(done, len(jars))
    return [jar.path(cache) for jar in jars]


def _download_all(missing: Sequence[Jar], cache: Path) -> Iterator[children.StartFault | None]:
    """Yield what came of each download. In threads that end with the process, so that Ctrl-C waits for none."""
    maven = _maven(cache)
    waiting: SimpleQueue[Jar] = SimpleQueue()
    finished: SimpleQueue[children.StartFault | None] = SimpleQueue()
    for jar in missing:
        waiting.put(jar)

    def work() -> None:
        while True:
            try:
                jar = waiting.get_nowait()
            except Empty:
                return
            try:
                _download(maven, jar, cache)
                finished.put(None)
            except children.StartFault as fault:
                finished.put(fault)
            except OSError as error:
                finished.put(_unwritable(cache, error))

    for _ in range(DOWNLOADS_AT_ONCE):
        Thread(target=work, daemon=True).start()
    for _ in missing:
        yield finished.get()


def _unwritable(cache: Path, error: OSError) -> children.StartFault:
    return children.StartFault(
        f"{cache} cannot be written ({error.strerror}). Make room or mend its permissions,"
        " or set XDG_CACHE_HOME to a folder elsewhere."
    )


def _maven(cache: Path) -> Any:
    with warnings.catch_warnings():
        # jgo warns at import where no runtime folder is set; it uses none for what we ask of it.
        warnings.simplefilter("ignore")
        from jgo.maven import MavenContext

    return MavenContext(repo_cache=cache / "repository")


def _download(maven: Any, jar: Jar, cache: Path) -> None:
    name = f"{jar.group}:{jar.artifact}:{jar.version}"
    try:
        found = Path(maven.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())
        content = found.read_bytes()
    except Exception as error:
        raise children.StartFault(
            f"The jar {name} could not be downloaded ({type(error).__name__})."
            " Check the network and the settings of your Maven mirror, then start again."
        ) from error
    if sha256(content).hexdigest() != jar.sha256:
        found.unlink(missing_ok=True)
        raise children.StartFault(f"The jar {name} is not the one that was pinned. It was thrown away; start again.")
    unfinished = jar.path(cache).with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.rename(jar.path(cache))
    found.unlink(missing_ok=True)
