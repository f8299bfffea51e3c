"""What is stored is what was verified, and opening it proves it again."""

from __future__ import annotations

import os
import stat
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import pytest

from openautoglm.errors import ContentStoreError
from openautoglm.plugins.signing import ContentStore, Keyring, SigningKey, sign, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from openautoglm.plugins.signing import StoredContent, Verdict


class WheelMaker(Protocol):
    """What the fixture `wheel` is."""

    def __call__(
        self, *, version: str = "1.0", files: Mapping[str, bytes] | None = None
    ) -> Path: ...


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "store")


@pytest.fixture
def verdict(wheel: WheelMaker, key: SigningKey, keyring: Keyring) -> Verdict:
    path = wheel(files={"acme_upper/data/table.bin": bytes(range(256)) * 9000})
    sign(path, key)
    return verify(path, keyring)


def test_content_is_stored_read_only_and_read_back(store: ContentStore, verdict: Verdict) -> None:
    stored = store.put(verdict)
    assert verdict.package is not None
    assert store.names() == (stored.sha256,) == (verdict.package.sha256,)
    assert stored.read("acme_upper/data/table.bin") == bytes(range(256)) * 9000
    for path in (stored.folder, *stored.folder.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o222
    inside = {str(p.relative_to(stored.folder)) for p in stored.folder.rglob("*") if p.is_file()}
    assert inside == set(verdict.package.files)
    assert store.open(stored.sha256).signature == verdict.signature


def test_what_is_stored_can_be_verified_again_where_it_lies(
    store: ContentStore, verdict: Verdict, keyring: Keyring
) -> None:
    stored = store.put(verdict)
    again = store.root / f"{stored.sha256}.whl"
    assert verify(again, keyring).trusted
    assert not verify(again, keyring.revoking("mine", at=datetime.now(UTC))).trusted


def test_putting_it_twice_is_putting_it_once(store: ContentStore, verdict: Verdict) -> None:
    assert store.put(verdict).sha256 == store.put(verdict).sha256
    assert len(list(store.root.iterdir())) == 3


def test_several_who_store_the_same_all_have_it(store: ContentStore, verdict: Verdict) -> None:
    done: list[str] = []
    threads = [
        threading.Thread(target=lambda: done.append(store.put(verdict).sha256)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    assert len(set(done)) == 1


def test_what_was_refused_is_not_stored(
    store: ContentStore, wheel: WheelMaker, key: SigningKey, keyring: Keyring
) -> None:
    path = wheel()
    sign(path, key)
    wheel(files={"acme_upper/evil.py": b""})
    with pytest.raises(ContentStoreError, match="package-digest"):
        store.put(verify(path, keyring))
    path.write_bytes(b"")
    with pytest.raises(ContentStoreError, match="not-an-archive"):
        store.put(verify(path, keyring))
    assert store.names() == ()


def test_an_unsigned_package_can_be_stored(
    store: ContentStore, wheel: WheelMaker, keyring: Keyring
) -> None:
    assert store.put(verify(wheel(), keyring)).signature is None


def _unlocked(folder: Path) -> Path:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return folder


def _changed(folder: Path) -> None:
    with (folder / "acme_upper/step.py").open("ab") as file:
        file.write(b"#")


def _added(folder: Path) -> None:
    (folder / "acme_upper/evil.py").write_bytes(b"")


def _cached(folder: Path) -> None:
    (folder / "acme_upper/__pycache__").mkdir()
    (folder / "acme_upper/__pycache__/step.cpython-311.pyc").write_bytes(b"")


def _removed(folder: Path) -> None:
    (folder / "acme_upper/step.py").unlink()


def _linked(folder: Path) -> None:
    step = folder / "acme_upper/step.py"
    copy = folder.parent / "copy.py"
    step.rename(copy)
    step.symlink_to(copy)


def _hard_linked(folder: Path) -> None:
    os.link(folder / "acme_upper/step.py", folder.parent / "other.py")


def _folder_linked(folder: Path) -> None:
    inside = folder / "acme_upper/data"
    moved = folder.parent / "moved"
    inside.rename(moved)
    inside.symlink_to(moved)


def _replaced_by_link(folder: Path) -> None:
    moved = folder.parent / "moved"
    folder.rename(moved)
    folder.symlink_to(moved)


def _pipe(folder: Path) -> None:
    (folder / "acme_upper/step.py").unlink()
    os.mkfifo(folder / "acme_upper/step.py")


def _other_wheel(folder: Path) -> None:
    wheel = folder.with_suffix(".whl")
    wheel.chmod(0o600)
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")


def _no_wheel(folder: Path) -> None:
    folder.with_suffix(".whl").unlink()


@pytest.mark.parametrize(
    "change",
    [
        _changed,
        _added,
        _cached,
        _removed,
        _linked,
        _hard_linked,
        _folder_linked,
        _replaced_by_link,
        _pipe,
        _other_wheel,
        _no_wheel,
    ],
)
def test_stored_content_that_changed_is_not_opened(
    store: ContentStore, verdict: Verdict, change: Callable[[Path], None]
) -> None:
    stored = store.put(verdict)
    change(_unlocked(stored.folder))
    with pytest.raises(ContentStoreError):
        store.open(stored.sha256)


def test_what_was_opened_stays_what_it_was(store: ContentStore, verdict: Verdict) -> None:
    stored: StoredContent = store.put(verdict)
    before = stored.read("acme_upper/step.py")
    _changed(_unlocked(stored.folder))
    assert stored.read("acme_upper/step.py") == before
    with pytest.raises(ContentStoreError, match="no such file"):
        stored.read("../keyring.json")


def test_content_is_removed_although_it_is_read_only(store: ContentStore, verdict: Verdict) -> None:
    stored = store.put(verdict)
    store.remove(stored.sha256)
    assert list(store.root.iterdir()) == []
    store.remove(stored.sha256)
    with pytest.raises(ContentStoreError, match="not there"):
        store.open(stored.sha256)


@pytest.mark.parametrize("name", ["", "..", "a" * 63, "A" * 64, "../" + "a" * 64, "a" * 64 + "\n"])
def test_content_has_a_digest_for_a_name(store: ContentStore, name: str) -> None:
    with pytest.raises(ContentStoreError, match="SHA-256"):
        store.open(name)
    with pytest.raises(ContentStoreError, match="SHA-256"):
        store.remove(name)
