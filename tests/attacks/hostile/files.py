"""Attempts on files: to read the host's, to change them, to leave something behind."""

# ruff: noqa: PTH101, PTH102, PTH104, PTH108, PTH208, PTH211 - each attempt names its system call

from __future__ import annotations

import ctypes
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.attacks.hostile.attempt import LIBC, MARK, SECRET, World, attempt, checked


@attempt("read /etc/passwd")
def read_passwd(_: World) -> object:
    return Path("/etc/passwd").read_text()


@attempt("list the home folder's .ssh")
def list_home(world: World) -> object:
    return os.listdir(f"{world.outside}/home/.ssh")


@attempt("read a private key")
def read_key(world: World) -> object:
    return Path(world.outside, "home/.ssh/id").read_bytes()


@attempt("read a private key in a thread of its own")
def read_key_in_thread(world: World) -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(Path(world.outside, "home/.ssh/id").read_bytes).result()


@attempt("read the environment of the host's process")
def read_environment(world: World) -> None:
    assert SECRET in Path(f"/proc/{world.parent}/environ").read_text()


@attempt("read the command line of the host's process")
def read_command(world: World) -> None:
    assert Path(f"/proc/{world.parent}/cmdline").read_bytes()


@attempt("find the host's secret in its own environment")
def own_environment(_: World) -> None:
    assert os.environ["HOST_TOKEN"] == SECRET


@attempt("find the host's secret in the block the process started with")
def own_first_environment(_: World) -> None:
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    assert SECRET.encode() in ctypes.string_at(start, end - start)


@attempt("write a new file outside")
def write_outside(world: World) -> None:
    Path(world.outside, "new").write_text("x")


@attempt("write to a file of the host")
def write_host(world: World) -> None:
    Path(world.host_file).write_text("x")


@attempt("append to a file of the host")
def append_host(world: World) -> None:
    with Path(world.host_file).open("a") as file:
        file.write("x")


@attempt("truncate a file of the host by its path")
def truncate_host(world: World) -> None:
    os.truncate(world.host_file, 0)


@attempt("empty a readable file by opening it for reading")
def empty_readable(world: World) -> None:
    os.close(os.open(world.plugin, os.O_RDONLY | os.O_TRUNC))
    assert not Path(world.plugin).stat().st_size


@attempt("overwrite the plugin's own file")
def overwrite_plugin(world: World) -> None:
    Path(world.plugin).write_text("evil = True")


@attempt("plant a .pth file among the packages")
def plant_pth(world: World) -> None:
    Path(world.site, "evil.pth").write_text("import evil")


@attempt("replace a package's file by a rename")
def rename_into_site(world: World) -> None:
    Path(world.scratch, "evil.py").write_text("evil = True")
    os.rename(f"{world.scratch}/evil.py", f"{world.site}/package.py")


@attempt("make a link in scratch and read through it")
def symlink(world: World) -> None:
    os.symlink(world.host_file, f"{world.scratch}/new-link")
    assert Path(world.scratch, "new-link").read_bytes() == MARK


@attempt("read through a link that was in scratch before")
def planted_symlink(world: World) -> None:
    assert Path(world.scratch, "link").read_bytes() == MARK


@attempt("write through a link that was in scratch before")
def write_symlink(world: World) -> None:
    Path(world.scratch, "link").write_text("x")


@attempt("climb out of scratch by ..")
def climb(world: World) -> None:
    os.chdir(world.scratch)
    assert Path("../outside/host.txt").read_bytes() == MARK


@attempt("hard-link a file of the host into scratch")
def hard_link(world: World) -> None:
    os.link(world.host_file, f"{world.scratch}/hard")
    Path(world.scratch, "hard").write_text("x")


@attempt("move a file of the host into scratch")
def move_in(world: World) -> None:
    os.rename(world.host_file, f"{world.scratch}/moved")


@attempt("move a file from scratch over one of the host")
def move_out(world: World) -> None:
    Path(world.scratch, "mine").write_text("x")
    os.rename(f"{world.scratch}/mine", world.host_file)


@attempt("remove a file of the host")
def remove(world: World) -> None:
    os.unlink(world.host_file)


@attempt("make a folder outside")
def make_folder(world: World) -> None:
    os.mkdir(f"{world.outside}/new-folder")


@attempt("make a nameless file outside")
def nameless(world: World) -> None:
    os.close(os.open(world.outside, os.O_TMPFILE | os.O_RDWR))


@attempt("change the mode of a file of the host")
def change_mode(world: World) -> None:
    os.chmod(world.host_file, 0o777)  # noqa: S103 - it must not get that far


@attempt("change the mode of a readable file by its descriptor")
def change_mode_of_descriptor(world: World) -> None:
    descriptor = os.open(world.plugin, os.O_RDONLY)
    os.fchmod(descriptor, 0o777)


@attempt("give a file of the host to somebody else", root=True)
def change_owner(world: World) -> None:
    os.chown(world.host_file, 65534, 65534)


@attempt("change the times of a file of the host")
def change_times(world: World) -> None:
    os.utime(world.host_file, (0, 0))


@attempt("set an attribute of a file of the host")
def set_attribute(world: World) -> None:
    os.setxattr(world.host_file, "user.evil", b"1")


@attempt("set flags of a readable file by its descriptor")
def set_flags(world: World) -> None:
    descriptor = os.open(world.plugin, os.O_RDONLY)
    flags = ctypes.c_int()
    checked(LIBC.ioctl(descriptor, ctypes.c_ulong(0x80086601), ctypes.byref(flags)))
    flags.value |= 0x80  # no access times
    checked(LIBC.ioctl(descriptor, ctypes.c_ulong(0x40086602), ctypes.byref(flags)))


@attempt("watch a file of the host for changes")
def watch(world: World) -> None:
    handle = checked(LIBC.inotify_init1(0))
    checked(LIBC.inotify_add_watch(handle, world.host_file.encode(), 0xFFF))


@attempt("leave a file in /dev/shm")
def shared_file(world: World) -> None:
    path = Path(f"/dev/shm/evil-{world.parent}")  # noqa: S108 - the attempt is about this place
    path.write_text("x")
    path.unlink()


@attempt("leave a pipe in scratch for the host to hang on")
def leave_pipe(world: World) -> None:
    os.mkfifo(f"{world.scratch}/pipe")


@attempt("make a device node", root=True, rare=True)
def make_device(world: World) -> None:
    os.mknod(f"{world.scratch}/device", stat.S_IFCHR | 0o666, os.makedev(1, 1))


@attempt("read through a folder that the host left open")
def leaked_folder(world: World) -> None:
    descriptor = os.open("host.txt", os.O_RDONLY, dir_fd=world.folder)
    assert os.read(descriptor, 100) == MARK


@attempt("read a file that the host left open")
def leaked_file(world: World) -> None:
    assert os.pread(world.file, 100, 0) == MARK


@attempt("open a folder by O_PATH and read beneath it")
def opened_path(world: World) -> None:
    folder = os.open(world.outside, os.O_PATH)
    descriptor = os.open("host.txt", os.O_RDONLY, dir_fd=folder)
    assert os.read(descriptor, 100) == MARK


@attempt("open a file of the host by its handle", root=True, rare=True)
def opened_handle(world: World) -> None:
    handle = ctypes.create_string_buffer(8 + 128)
    ctypes.c_uint.from_buffer(handle).value = 128
    mount = ctypes.c_int()
    folder = os.open(world.scratch, os.O_RDONLY)
    path = world.host_file.encode()
    checked(LIBC.name_to_handle_at(-100, path, handle, ctypes.byref(mount), 0))
    descriptor = checked(LIBC.open_by_handle_at(folder, handle, os.O_RDONLY))
    assert os.read(descriptor, 100) == MARK


@attempt("write how soon the kernel ends it when memory is short")
def spare_me(_: World) -> None:
    setting = Path("/proc/self/oom_score_adj")
    setting.write_text(setting.read_text())


@attempt("read settings of the kernel")
def kernel_settings(_: World) -> object:
    return Path("/proc/sys/kernel/core_pattern").read_text()


@attempt("list the processes of the machine")
def list_processes(world: World) -> None:
    assert str(world.parent) in os.listdir("/proc")


@attempt("read which connections the machine has")
def connections(_: World) -> object:
    return Path("/proc/self/net/tcp").read_text()


@attempt("read what is mounted")
def mounts(_: World) -> object:
    return Path("/proc/self/mountinfo").read_text()


@attempt("write a file over the limit")
def large_file(world: World) -> None:
    with Path(world.scratch, "large").open("wb") as file:
        file.writelines(bytes(1 << 20) for _ in range(9))


@attempt("make a sparse file over the limit")
def sparse_file(world: World) -> None:
    with Path(world.scratch, "sparse").open("wb") as file:
        file.truncate(1 << 40)


@attempt("hold hundreds of descriptors")
def descriptors(_: World) -> None:
    held: list[int] = []
    try:
        while len(held) < 500:
            held.append(os.dup(1))
    finally:
        for descriptor in held:
            os.close(descriptor)
