"""Which calls and assignments are effects of an import, and how grave each is.

Pure data: patterns over dotted names as `sources.dotted` writes them, where `()` stands for a call
and `[]` for an index. `fail` is what reaches beyond the plugin, into the process of the host or out
of it; `warn` is bad manners.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

Gravity: TypeAlias = Literal["fail", "warn"]

_NETWORK: Final = r"""
    socket\.(socket | create_connection | create_server | getaddrinfo)
  | urllib\.request\.(urlopen | urlretrieve) | http\.client\.HTTPS?Connection
  | (requests | httpx)\.(get | post | put | patch | delete | head | request | Session | Client)
  | (ftplib\.FTP | smtplib\.SMTP | poplib\.POP3 | imaplib\.IMAP4).*
  | asyncio\.(open_connection | start_server)
"""
_PROCESSES: Final = r"""
    subprocess\.\w+ | os\.(system | popen | fork | forkpty | posix_spawnp? | startfile)
  | os\.(exec | spawn)\w+ | pty\.\w+ | multiprocessing\.(Pool | Process\(\)\.start | Manager)
  | concurrent\.futures\.ProcessPoolExecutor\(\)\.\w+ | asyncio\.create_subprocess_\w+
"""
_FILES: Final = r"""
    pathlib\.Path(\(\)|\.).*\.(write_text | write_bytes | mkdir | touch | unlink | rename | replace
      | rmdir | chmod | symlink_to | hardlink_to)
  | os\.(remove | unlink | rename | replace | mkdir | makedirs | rmdir | removedirs | link | symlink
      | chmod | truncate | mkfifo)
  | shutil\.(copy\w* | move | rmtree | make_archive | unpack_archive)
  | tempfile\.\w+ | sqlite3\.connect
"""
_THREADS: Final = r"""
    threading\.(Thread | Timer)\(\)\.start | _thread\.start_new_thread
  | concurrent\.futures\.ThreadPoolExecutor\(\)\.(submit | map) | asyncio\.run
"""
_ENVIRONMENT: Final = r"""
    os\.(putenv | unsetenv)
  | os\.environ\.(setdefault | update | pop | popitem | clear | __setitem__)
"""
_PROCESS: Final = r"os\.(chdir | umask | nice | setuid | setgid | kill | _exit | abort)"
_MODULES: Final = r"""
    sys\.(path | meta_path | path_hooks)\.(append | insert | extend | remove | pop | clear)
  | site\.addsitedir | sys\.modules\.(pop | update | setdefault | clear)
"""
_HANDLERS: Final = r"""
    signal\.(signal | setitimer | alarm | set_wakeup_fd) | atexit\.register
  | sys\.(settrace | setprofile | addaudithook) | threading\.(settrace | setprofile)
"""
_SETTINGS: Final = r"""
    random\.seed | numpy\.random\.seed | torch\.(manual_seed | set_\w+)
  | numpy\.(seterr | set_printoptions) | logging\.(basicConfig | disable)
  | warnings\.(filterwarnings | simplefilter) | sys\.(setrecursionlimit | setswitchinterval)
  | locale\.setlocale | gc\.(disable | enable | freeze) | faulthandler\.enable
"""

_RULES: Final[tuple[tuple[str, Gravity, str], ...]] = (
    ("uses the network", "fail", _NETWORK),
    ("starts a process", "fail", _PROCESSES),
    ("changes files", "fail", _FILES),
    ("starts a thread", "fail", _THREADS),
    ("changes the environment", "fail", _ENVIRONMENT),
    ("changes the process", "fail", _PROCESS),
    ("changes where modules are found", "fail", _MODULES),
    ("installs a handler for the process", "fail", _HANDLERS),
    ("ends the process", "fail", r"(sys\.)?exit | quit"),
    ("prints", "warn", r"print | sys\.(stdout | stderr)\.write | input"),
    ("waits", "warn", r"time\.sleep"),
    ("changes a setting of the whole process", "warn", _SETTINGS),
    ("runs text as code", "warn", r"eval | exec | runpy\.\w+"),
    ("loads a native library", "warn", r"ctypes\.(CDLL | PyDLL | cdll\.LoadLibrary)"),
)
CALLS: Final = tuple(
    (kind, gravity, re.compile(rf"(?:{pattern})\Z", re.VERBOSE))
    for kind, gravity, pattern in _RULES
)
"""What a call does, how grave that is, and the names of such calls."""

OPENS: Final = frozenset({"open", "io.open", "os.open", "gzip.open", "bz2.open", "lzma.open"})
WRITING: Final = re.compile(r"[wax+]|O_(WRONLY|RDWR|CREAT|APPEND|TRUNC)")
"""Modes and flags of an `open` that may change the file."""

STORES: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("changes the environment", re.compile(r"os\.environ(\[\])?\Z")),
    ("changes where modules are found", re.compile(r"sys\.(path|modules|meta_path)(\[\])?\Z")),
    ("installs a handler for the process", re.compile(r"sys\.(excepthook|stdout|stderr)\Z")),
)
"""What an assignment does, and to what."""
